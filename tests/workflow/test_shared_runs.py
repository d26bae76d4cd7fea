"""An experiment that shares runs with a finished one trains only what is new."""

import re
from collections import Counter

import pytest
from test_workflow import checkout, snakemake  # noqa: F401
from tiny import EXPERIMENT

IN_PARTS = """\
{kind: classification, location: world, folder: benchmark/world-shape, source: here, n_classes: 6,
n_train: 64, n_test: 64, held_out: proportional, main_metric: acc1, stand_in: world-shape}
"""
"""A set of which one job should encode 40 images, and so four jobs do."""


def parts_of(results):
    """Return how many jobs said of their part that it was encoded, or kept."""
    logs = results.glob("logs/features_part/*/in-parts/*-of-4.log")
    return Counter(log.read_text().split()[-1] for log in logs)


@pytest.mark.whole
def test_another_experiment_trains_only_what_is_new(checkout):  # noqa: F811
    short = EXPERIMENT.replace("[world-shape, world-digits,", "[world-shape, in-parts,")
    short = short.replace("[cosine, {similarity", "[{similarity")
    short += "  images_per_job: 40\n"
    (checkout / "workflow" / "datasets").mkdir(exist_ok=True)
    (checkout / "workflow" / "datasets" / "in-parts.yaml").write_text(IN_PARTS)
    (checkout / "workflow" / "experiments" / "tiny.yaml").write_text(short)
    first = snakemake("--cores", 2, "--config", "experiment=tiny", cwd=checkout)
    assert first.returncode == 0, first.stderr
    assert parts_of(checkout / "results" / "tiny") == {"encoded": 4}
    more = short.replace("name: tiny", "name: more").replace("seeds: [0]", "seeds: [0, 1]")
    (checkout / "more.yaml").write_text(more)
    elsewhere = ("--config", "experiment=more.yaml", "results=elsewhere", "reuse=results")
    second = snakemake("--cores", 2, *elsewhere, cwd=checkout)
    assert second.returncode == 0, second.stdout + second.stderr
    results = checkout / "elsewhere" / "more"
    logs = {path.stem: path.read_text() for path in results.glob("logs/pretrain/runs/*.log")}
    taken = {name for name, log in logs.items() if "taken over from tiny" in log}
    assert (
        len(logs) == 2
        and {re.search(r"-s(\d)-", name)[1] for name in taken} == {"0"}
        and len(taken) == 1
    )
    assert all("samples/s" in logs[name] for name in logs.keys() - taken)
    assert parts_of(results) == {"encoded": 4, "kept": 4}
    report = (results / "report" / "index.html").read_text()
    assert "runs taken over, not trained here" in report and all(
        f"{name} from tiny" in report for name in taken
    )
    again = snakemake("--cores", 2, *elsewhere, cwd=checkout)
    assert "Nothing to be done" in again.stdout + again.stderr
    before = snakemake("-n", "--cores", 2, "--config", "experiment=tiny", cwd=checkout)
    assert "Nothing to be done" in before.stdout + before.stderr


def test_a_folder_to_take_runs_from_has_to_be_there(checkout):  # noqa: F811
    process = snakemake(
        "-n", "--cores", 1, "--config", "experiment=tiny", "reuse=nowhere", cwd=checkout
    )
    assert process.returncode == 2 and "--config reuse=nowhere: no such folder" in process.stderr
