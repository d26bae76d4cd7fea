"""`kbench bench`: rows, JSON, and the memory target at a size that a test can afford."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from kbench import memory, similarity
from kbench.bench import measure
from kbench.bench.peak import peak
from kbench.bench.similarity import LossCase, _gradients, _peak_memory
from kbench.bench.step import StepCase, _flop
from kbench.cli import main
from kbench.similarity.sets import PointSet

OF_SETS = [name for name in similarity.names() if not similarity.get(name).has_likelihoods()]


@pytest.mark.parametrize("name", OF_SETS)
def test_the_baseline_computes_the_same_scores(name):
    variant = similarity.create(name)
    g = torch.Generator().manual_seed(0)
    sets = [
        PointSet(torch.randn(3, n, 8, generator=g), torch.randn(3, n, generator=g)) for n in (4, 2)
    ]
    for draw in {variant.draw(8, g, number=16), None}:
        found = variant.straightforward(*sets, draw)
        torch.testing.assert_close(found, variant.scores(*sets, draw), rtol=1e-4, atol=1e-5)


def test_a_case_gives_the_gradients_of_both():
    case = LossCase("wpse-gaussian", exact=False, batch=4, tokens=(5, 3), dim=8, features=16)
    ours, baseline = (
        _gradients(case, "cpu", straightforward)() for straightforward in (False, True)
    )
    torch.testing.assert_close(ours, baseline, rtol=1e-3, atol=1e-6)


def test_measuring_takes_turns():
    calls = []
    seconds = measure.alternate(lambda: calls.append("a"), lambda: calls.append("b"), 2)
    assert calls == ["a", "b"] * 3
    assert all(s >= 0 for s in seconds)


def take(megabytes):
    before = memory.resident_bytes()
    taken = bytearray(megabytes << 20)
    taken[:: 1 << 12] = b"1" * len(taken[:: 1 << 12])
    del taken
    return memory.peak_bytes() - before


@pytest.mark.whole
def test_peak_memory_is_of_the_fresh_process_alone():
    ballast = bytearray(b"1" * (256 << 20))
    assert 90 << 20 < measure.in_fresh_process(take, 96) < 128 << 20
    del ballast


@pytest.mark.whole
def test_memory_of_the_loss_is_at_most_a_quarter_of_the_straightforward():
    case = LossCase(
        "wpse-gaussian", exact=False, batch=256, tokens=(197, 77), dim=512, features=1024
    )
    ours, baseline = (
        _peak_memory(case, "cpu", straightforward) for straightforward in (False, True)
    )
    assert ours <= baseline / 4


def kbench(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(map(str, arguments)))
    return stop.value.code


@pytest.mark.whole
def test_rows_of_the_similarity_bench(tmp_path, capsys):
    sizes = (
        "--batch 8 --pairwise-batch 2 --image-tokens 3 --text-tokens 2 --dim 8 --features 16"
        " --repeats 1 --no-step"
    )
    only = ["--variants", "wpse-imq", "--json", tmp_path / "rows.json"]
    assert kbench("bench", "similarity", *sizes.split(), *only) == 0
    document = json.loads((tmp_path / "rows.json").read_text())
    assert set(document) == {"machine", "versions", "rows"} and document["versions"]["torch"]
    names = [row["name"] for row in document["rows"]]
    assert names == [
        f"similarity/wpse-imq{kind}/{figure}"
        for kind in ("", "-exact")
        for figure in ("time", "memory")
    ]
    for row in document["rows"]:
        assert set(row) == {"name", "value", "unit", "baseline", "ratio"}
        assert row["ratio"] == pytest.approx(row["value"] / row["baseline"])
    assert "wpse-imq" in capsys.readouterr().out


def test_rows_of_the_estimator_bench(tmp_path):
    points = np.random.default_rng(0).normal(size=(5, 4, 6))
    np.savez(tmp_path / "points.npz", points=points)
    options = [
        "--dims",
        4,
        "--features",
        32,
        "--draws",
        30,
        "--count",
        10,
        "--points",
        tmp_path / "points.npz",
    ]
    assert kbench("bench", "estimators", *options, "--json", tmp_path / "rows.json") == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "rows.json").read_text())["rows"]}
    assert {name.split("/")[1] for name in rows} == {"sphere-d4", "given-d6"}
    for name, row in rows.items():
        if name.endswith(f"/{similarity.EVALUATION_ESTIMATOR}"):
            assert row["ratio"] < 1, name
        if name.endswith("/rff"):
            assert row["ratio"] == 1


@pytest.mark.whole
def test_points_of_a_trained_run(trained, tiny_world, tmp_path):
    run = next(run.folder for run in trained if run.config.similarity == "wpse-gaussian")
    options = ["--dims", 4, "--features", 32, "--draws", 2, "--run", run, "--world", tiny_world]
    assert kbench("bench", "estimators", *options, "--json", tmp_path / "rows.json") == 0
    names = {
        row["name"].split("/")[1]
        for row in json.loads((tmp_path / "rows.json").read_text())["rows"]
    }
    assert names == {"sphere-d4", "trained-d64"}


@pytest.mark.parametrize("content", [None, "text", "other"])
def test_points_that_cannot_be_read(content, tmp_path, capsys):
    if content == "text":
        (tmp_path / "points.npz").write_text("text")
    if content == "other":
        np.savez(tmp_path / "points.npz", other=np.ones((3, 4)))
    assert kbench("bench", "estimators", "--points", tmp_path / "points.npz", "--dims", 4) == 2
    assert "points" in capsys.readouterr().err


def test_rows_of_the_retrieval_bench(tmp_path):
    options = ["--images", 30, "--width", 16, "--repeats", 1, "--json", tmp_path / "rows.json"]
    assert kbench("bench", "retrieval", *options) == 0
    seconds, recall = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert seconds["name"] == "retrieval/30-images" and seconds["ratio"] > 0
    assert 0.2 < recall["value"] < 1 and recall["ratio"] == pytest.approx(1, abs=1e-6)


@pytest.mark.whole
def test_scikit_learns_search_with_another_librarys_arrays(tmp_path):
    options = ["--samples", 300, "--width", 8, "--classes", 3, "--array-api"]
    assert kbench("bench", "probe", *options, "--json", tmp_path / "rows.json") == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "rows.json").read_text())["rows"]}
    of_numpy, of_torch = (rows[f"probe/3-classes{kind}/accuracy"] for kind in ("", "/array-api"))
    assert of_torch["baseline"] == of_numpy["baseline"]
    assert rows["probe/3-classes/array-api"]["ratio"] > 0


@pytest.mark.slow
def test_rows_of_the_objective_bench(tmp_path):
    options = ["--towers", "demo", "--step-batch", "4", "--step-repeats", "1"]
    options += ["--objectives", "sinkhorn", "entailment", "--json", tmp_path / "rows.json"]
    assert kbench("bench", "objective", *options) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["objective/sinkhorn", "objective/entailment"]
    assert all(row["value"] > 0 and row["baseline"] > 0 for row in rows)


@pytest.mark.whole
def test_rows_of_the_step_bench(tmp_path):
    options = [
        "--towers",
        "demo",
        "--step-batch",
        2,
        "--step-repeats",
        1,
        "--variants",
        "wpse-linear",
        "--images",
        16,
    ]
    assert kbench("bench", "step", *options, "--json", tmp_path / "rows.json") == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "rows.json").read_text())["rows"]}
    figures = ("", "/over-cosine", "/samples-per-second", "/memory", "/data-wait", "/flop", "/mfu")
    assert list(rows) == [f"step/wpse-linear{figure}" for figure in figures]
    for figure in ("", "/over-cosine", "/samples-per-second", "/memory", "/flop"):
        row = rows[f"step/wpse-linear{figure}"]
        assert row["value"] > 0 and row["ratio"] == row["value"] / row["baseline"]
    seconds, speed = rows["step/wpse-linear"], rows["step/wpse-linear/samples-per-second"]
    assert speed["value"] == 2 / seconds["value"] and speed["baseline"] == 2 / seconds["baseline"]
    assert 0 <= rows["step/wpse-linear/data-wait"]["value"] < 1
    # Nobody publishes the peak of this processor.
    assert (
        rows["step/wpse-linear/mfu"]["value"] is None
        and rows["step/wpse-linear/mfu"]["ratio"] is None
    )


def test_operations_are_those_of_the_towers():
    small, large = (_flop(StepCase("cosine", "demo", "cpu", "fp32", batch)) for batch in (4, 8))
    assert small < large < 2.1 * small
    assert _flop(StepCase("open_clip", "demo", "cpu", "fp32", 8)) == pytest.approx(large, rel=0.02)


@pytest.mark.parametrize(
    ("name", "operations"),
    [
        ("NVIDIA H200", 989.4e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("cpu", None),
    ],
)
def test_peaks_are_known_of_few_devices(name, operations):
    assert peak(name, "bf16") == operations and peak(name, "fp32") is None


def test_rows_of_the_probe_bench(tmp_path):
    options = ["--samples", 200, "--width", 8, "--classes", 3, "--json", tmp_path / "rows.json"]
    assert kbench("bench", "probe", *options) == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "rows.json").read_text())["rows"]}
    assert set(rows) == {
        f"probe/3-classes{figure}" for figure in ("", "/accuracy", "/objective", "/C")
    }
    assert rows["probe/3-classes/objective"]["ratio"] <= 1 + 1e-5
    assert rows["probe/3-classes/accuracy"]["value"] == pytest.approx(
        rows["probe/3-classes/accuracy"]["baseline"], abs=0.005
    )


@pytest.mark.slow
def test_rows_of_the_evaluation_bench(tmp_path):
    if not os.environ.get("KBENCH_DATA"):
        pytest.skip("KBENCH_DATA is not set")
    options = ["--limit", 100, "--workers", 0, "--json", tmp_path / "rows.json"]
    assert kbench("bench", "evaluate", *options) == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "rows.json").read_text())["rows"]}
    assert set(rows) == {
        f"evaluate/cifar10{figure}" for figure in ("", "/zeroshot", "/linear_probe", "/C")
    }
    assert rows["evaluate/cifar10/zeroshot"]["ratio"] == 1


def test_the_evaluation_bench_without_data(tmp_path, capsys):
    assert kbench("bench", "evaluate", "--data", tmp_path) == 2
    assert "cifar10" in capsys.readouterr().err


def test_an_unknown_bench():
    done = subprocess.run(
        [sys.executable, "-m", "kbench", "bench", "similarly"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "similarity" in done.stderr and "Traceback" not in done.stderr


def test_the_loader_bench_reads_every_image_of_both_pipelines(tmp_path, capsys):
    main_arguments = ["bench", "loader", "--sides", "96", "--images", "8", "--loader-batch", "4"]
    with pytest.raises(SystemExit) as ended:
        main([*main_arguments, "--loader-repeats", "1", "--json", str(tmp_path / "loader.json")])
    assert not ended.value.code
    row = json.loads((tmp_path / "loader.json").read_text())["rows"][0]
    assert row["name"] == "loader/96px" and row["ratio"] == pytest.approx(
        row["value"] / row["baseline"]
    )


@pytest.mark.whole
def test_planning_is_measured_for_what_is_missing_and_for_what_is_finished(kbench, tmp_path):
    path = tmp_path / "dag.json"
    done = kbench(
        *[
            "bench",
            "dag",
            "--corpora",
            "1",
            "--seeds",
            "1",
            "--datasets",
            "1",
            "--variants",
            "cosine",
            "--json",
        ],
        path,
    )
    assert done.returncode == 0, done.stderr
    names = [row["name"] for row in json.loads(path.read_text())["rows"]]
    assert names == ["dag/plan/time", "dag/plan/memory", "dag/finished/time", "dag/finished/memory"]
