"""What `kbench status` says of an experiment's folder."""

import json
import subprocess
import sys

import pytest

from kbench import files
from kbench.experiment.load import read_run
from kbench.plan import status
from kbench.plan.measured import Job
from kbench.plan.status import State

HOLD = """
import sys, time
from pathlib import Path
from kbench import lock
lock.keep(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def results(tiny_experiment, tmp_path):
    """An experiment of two runs, the first trained and the second begun."""
    folder = tmp_path / "tiny"
    _, planned, runs = tiny_experiment
    files.write_json(folder / "experiment.json", files.read_json(planned / "experiment.json"))
    files.write_json(folder / "evaluation.json", files.read_json(planned / "evaluation.json"))
    names = [run.name for run in runs]
    for run in runs:
        config = read_run(run / "config.json").model_dump(mode="json")
        files.write_json(folder / "runs" / run.name / "config.json", config)
    files.write_json(folder / "runs" / names[0] / "model.json", {})
    log = folder / "logs" / "pretrain" / "runs" / f"{names[1]}.log"
    log.parent.mkdir(parents=True)
    log.write_text("world: 512 usable pairs\n cosine:  10%\r cosine:  50%")
    files.write_json(folder / "corpus.json", {"corpus": "world", "pairs": 512, "shards": []})
    entry = {"step": 8, "loss": 3.0, "samples_per_second": 123.4}
    (folder / "runs" / names[1] / "metrics.jsonl").write_text(json.dumps(entry) + "\n")
    return folder, names


@pytest.fixture
def at_work(results):
    """A process that holds the folder as a workflow does."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, results[0]], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield
        process.kill()


def test_a_workflow_at_work_is_seen_and_what_has_begun_runs(results, at_work, kbench):
    folder, names = results
    done = kbench("status", folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "tiny: a workflow is at work"
    assert lines[1].split() == [*State]
    assert [line.split() for line in lines[2:5]] == [
        ["pretrain", "1", "1", "0", "0", "0"],
        ["features", "0", "0", "0", "0", "2"],
        ["evaluate", "0", "0", "0", "0", "2"],
    ]
    assert lines[5:] == [f"  running   pretrain {names[1]}: 50% of its pairs, 123 pairs/s"]


def test_without_one_what_has_begun_has_stopped(results, kbench):
    folder, names = results
    lines = kbench("status", folder).stdout.splitlines()
    assert lines[0] == "tiny: no workflow is at work"
    assert lines[5:] == [f"  stopped   pretrain {names[1]}: 50% of its pairs"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1%\r2%\nkbench: no space left\n", "kbench: no space left"),
        ("Traceback (most recent call last):\n  x\nKeyError: 'a'\n", "KeyError: 'a'"),
        ("x" * 20_000 + "\nkbench: at the end\n", "kbench: at the end"),
    ],
)
def test_what_a_failed_job_said_is_told(results, kbench, text, message):
    folder, names = results
    log = f"logs/pretrain/runs/{names[1]}.log"
    (folder / log).write_text(text)
    lines = kbench("status", folder).stdout.splitlines()
    assert lines[2].split() == ["pretrain", "1", "0", "1", "0", "0"]
    assert lines[5].endswith(f"{message} ({log})")


def test_when_all_is_done_it_says_so(results, kbench):
    folder, names = results
    for name in names:
        for file in ("model.json", "encoded.json", "evaluated.json"):
            files.write_json(folder / "runs" / name / file, {})
    (folder / "benchmarks").mkdir()
    assert kbench("status", folder).stdout.splitlines()[0] == "tiny: every run is done"


def test_parts_of_large_datasets_are_jobs_too(results):
    folder, names = results
    document = files.read_json(folder / "evaluation.json")
    document["evaluation"]["datasets"] = ["imagenet1k"]
    files.write_json(folder / "evaluation.json", document)
    done = folder / "runs" / names[0] / "parts" / "imagenet1k" / "2-of-6.json"
    files.write_json(done, {})
    log = folder / "logs" / "features_part" / names[0] / "imagenet1k" / "3-of-6.log"
    log.parent.mkdir(parents=True)
    log.write_text("kbench: no space left\n")
    parts = [job for job in status.jobs(folder, True) if job.rule == "features_part"]
    assert [job.state for job in parts[:3]] == [State.WAITING, State.DONE, State.FAILED]
    assert len(parts) == 12 and parts[2].message == "kbench: no space left"


def test_a_dataset_that_is_not_known_here_is_no_hindrance(results, kbench):
    folder, _ = results
    document = files.read_json(folder / "evaluation.json")
    document["evaluation"]["datasets"] = ["of-somebody-else"]
    files.write_json(folder / "evaluation.json", document)
    done = kbench("status", folder)
    assert done.returncode == 0, done.stderr


def test_as_a_document(results, at_work, kbench):
    folder, names = results
    document = json.loads(kbench("status", folder, "--json").stdout)
    assert document["at_work"] is True and document["seconds_left"] is None
    states = [(job["rule"], job["run"], job["state"]) for job in document["jobs"]]
    assert states[0] == ("pretrain", names[0], "done")
    assert document["jobs"][3]["share"] == 0.5


def test_a_search_and_imported_models_are_jobs_too(results):
    folder, names = results
    config = files.read_json(folder / "runs" / names[0] / "config.json")
    files.write_json(folder / "search" / "trial" / "config.json", config)
    taken = {**config, "training": None, "corpus": None, "imported": {"sha256": None, "data": []}}
    files.write_json(folder / "runs" / names[0] / "config.json", taken)
    listed = status.jobs(folder, False)
    assert [(job.rule, job.run) for job in listed[:2]] == [
        ("pretrain", "trial"),
        ("take", names[0]),
    ]


def test_the_time_left_is_that_of_jobs_like_those_that_are_done():
    def job(rule, state, share=None):
        return status.JobStatus(rule, "run", state, "log", share)

    def took(rule, seconds):
        return Job("x", rule, "run", "cosine", "demo", "", 1, seconds, 0)

    left = [
        job("pretrain", State.DONE),
        job("pretrain", State.RUNNING, 0.75),
        job("features", State.RUNNING),
        job("features", State.WAITING),
    ]
    measured = [took("pretrain", 100), took("pretrain", 300), took("features", 10)]
    assert status.seconds_left(left, measured) == (0.25 * 200 + 10 + 10) / 2
    assert status.seconds_left(left, measured[:2]) is None
    assert status.seconds_left(left[:1], measured) is None


def test_a_folder_of_something_else_is_refused(tmp_path, kbench, refused):
    refused(kbench("status", tmp_path), "not an experiment's results folder")
    refused(kbench("status", tmp_path / "nowhere"), "not an experiment's results folder")
