"""Results of several machines as one: what is pooled, and what is refused with both sides named."""

import json
import shutil
from pathlib import Path

import pytest
from synthetic import change, run_name, write, write_experiment

from kbench.errors import UserError
from kbench.results import bundle, merging, store

ABILITIES = {"cosine": 0.5, "wpse-gaussian": 1.0}


def machine(folder, seeds, generator_seed=0):
    """Write one machine's results of experiment 'made' and return their folder."""
    write_experiment(folder / "made", ABILITIES, seeds=seeds, generator_seed=generator_seed)
    write(folder / "made" / "evaluation.json", {"experiment": "made", "evaluation": {}})
    return folder / "made"


@pytest.fixture
def two(tmp_path):
    return machine(tmp_path / "one", (0, 1)), machine(tmp_path / "two", (2, 3, 4), 1)


def rows(loaded):
    return {
        (result.run, result.dataset, result.task, metric.name): metric.value
        for result in loaded.results
        for metric in result.metrics
    }


def test_seeds_of_two_machines_are_one_table(two, tmp_path, kbench):
    packed = tmp_path / bundle.NAME
    bundle.write(two[1], packed)
    done = kbench("merge", two[0], packed, "--output", tmp_path / "pooled" / "made")
    assert done.returncode == 0, done.stderr
    assert "10 runs, 2 variants, seeds 0, 1, 2, 3, 4" in done.stdout
    pooled = store.load(tmp_path / "pooled" / "made")
    assert rows(pooled) == rows(store.load(two[0])) | rows(store.load(two[1]))
    assert not pooled.missing and pooled.experiment.seeds == [0, 1, 2, 3, 4]
    expected = [run_name(variant, seed) for variant in ABILITIES for seed in range(5)]
    assert pooled.experiment.runs == expected
    assert all(Path(pooled.arrays(result)).is_file() for result in pooled.results)
    assert kbench("report", tmp_path / "pooled" / "made").returncode == 0


def test_a_run_that_both_have_counts_once(two, tmp_path):
    shutil.copytree(two[0], tmp_path / "again" / "made")
    record = merging.merge([two[0], tmp_path / "again" / "made"], tmp_path / "made")
    assert record.runs == store.load(two[0]).experiment.runs
    assert rows(store.load(tmp_path / "made")) == rows(store.load(two[0]))


def test_what_one_machine_lacks_another_may_have(two, tmp_path):
    again = tmp_path / "again" / "made"
    shutil.copytree(two[0], again)
    shutil.rmtree(two[0] / "runs" / run_name("cosine", 0) / "evaluation" / "world-shape")
    shutil.rmtree(again / "runs" / run_name("cosine", 1))
    assert store.load(two[0]).missing and store.load(again).missing
    merging.merge([two[0], again], tmp_path / "made")
    assert not store.load(tmp_path / "made").missing


def test_a_part_that_has_not_got_so_far_hinders_nobody(two, tmp_path):
    write(two[0] / "corpus.json", {"sha256": "a" * 64})
    merging.merge(two, tmp_path / "made")
    assert json.loads((tmp_path / "made" / "corpus.json").read_text()) == {"sha256": "a" * 64}


def edit_result(folder):
    path = folder / f"runs/{run_name('cosine', 2)}/evaluation/world-shape/zeroshot.json"
    change(path, dataset_sha256="f" * 64)


def edit_configuration(folder):
    path = folder / f"runs/{run_name('cosine', 2)}/config.json"
    change(path, towers={"name": "demo", "embed_dim": 3})


def edit_evaluation(folder):
    write(folder / "evaluation.json", {"experiment": "made", "evaluation": {"tasks": ["zeroshot"]}})


def edit_experiment(folder):
    change(folder / "experiment.json", experiment={"name": "made", "training": {"epochs": 3}})


def edit_name(folder):
    change(folder / "experiment.json", name="other", experiment={"name": "other"})
    for path in folder.glob("runs/*/evaluation/*/*.json"):
        change(path, experiment="other")


@pytest.mark.parametrize(
    "edit, message",
    [
        (edit_result, "the data of world-shape"),
        (edit_configuration, r"configuration of cosine differs, towers.embed_dim 3 instead of 64"),
        (edit_evaluation, r"evaluation.json differs"),
        (edit_experiment, r"experiment differs, training"),
        (edit_name, r"name differs|experiment other"),
    ],
)
def test_what_must_not_be_pooled_is_refused(two, tmp_path, edit, message):
    edit(two[1])
    with pytest.raises(UserError, match=message):
        merging.merge(two, tmp_path / "made")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_run_that_differs_in_two_places_is_refused(two, tmp_path):
    again = tmp_path / "again" / "made"
    shutil.copytree(two[0], again)
    path = again / f"runs/{run_name('cosine', 0)}/evaluation/world-shape/zeroshot.json"
    document = json.loads(path.read_text())
    document["metrics"][0]["value"] += 0.25
    write(path, document)
    with pytest.raises(UserError, match=r"one/made and .*again/made .*zeroshot\.json differs"):
        merging.merge([two[0], again], tmp_path / "made")


def test_folders_are_not_written_over(two, tmp_path, kbench, refused):
    refused(kbench("merge", *two, "--output", two[0]), "is there already")
    refused(kbench("merge", *two, "--output", tmp_path / "x"), "name a folder .../made")
    refused(kbench("merge", two[0], "--output", tmp_path / "made"), "at least two")
    refused(kbench("merge", two[0], tmp_path, "--output", tmp_path / "made"), "experiment.json")
