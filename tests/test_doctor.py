"""`kbench doctor`: what would make an experiment's jobs fail is found before they start."""

import json
from pathlib import Path

import pytest
from tiny import EXPERIMENT

from kbench.doctor import resources
from kbench.doctor.machine import Finding
from kbench.experiment.load import load
from kbench.locations import Locations


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    (tmp_path / "tiny.yaml").write_text(EXPERIMENT)
    monkeypatch.chdir(tmp_path)
    return load("tiny.yaml")


def found(experiment, name):
    findings = resources.examine(experiment, Locations())
    return next(finding for finding in findings if finding.name == name)


def asking(experiment, **changed):
    return experiment.model_copy(
        update={"resources": experiment.resources.model_copy(update=changed)}
    )


def test_a_machine_that_is_enough_has_nothing_bad(tiny):
    bad = [f for f in resources.examine(tiny, Locations()) if f.state == "bad"]
    assert bad == []


def test_too_little_memory_is_bad(tiny):
    finding = found(asking(tiny, memory_gb=60_000), "memory")
    assert finding.state == "bad" and "60000 GB asked for" in finding.text and finding.mend


def test_too_little_shared_memory_is_bad(tiny):
    large = tiny.training.model_copy(update={"batch_size": 1 << 20})
    finding = found(asking(tiny.model_copy(update={"training": large}), workers=1000), "/dev/shm")
    assert finding.state == "bad" and "loaders" in finding.text and "workers" in finding.mend


def test_a_dataset_that_is_needed_and_absent_is_bad(tiny):
    evaluation = tiny.evaluation.model_copy(update={"datasets": ("cifar10",)})
    finding = found(tiny.model_copy(update={"evaluation": evaluation}), "cifar10")
    assert finding.state == "bad" and "kbench dataset fetch cifar10" in finding.mend


def test_a_clock_that_is_off_is_bad(tiny, monkeypatch):
    now = resources.time.time
    monkeypatch.setattr(resources.time, "time", lambda: now() - 3600)
    finding = found(tiny, "clock")
    assert finding.state == "bad" and "3600" in finding.text


def test_a_slow_disk_is_noted(tiny, monkeypatch):
    monkeypatch.setattr(resources, "SLOW", 10**9)
    finding = found(tiny, "disk speed")
    assert finding.state == "note" and "MB/s" in finding.text and finding.mend
    assert not list(Path.cwd().glob(".kbench-doctor-*"))


def test_a_limit_of_open_files_is_noted(tiny, monkeypatch):
    monkeypatch.setattr(resources.resource, "getrlimit", lambda which: (100, 500))
    assert found(tiny, "open files") == Finding(
        "open files", "note", "100 may be open at once, 500 if asked for", "ulimit -n 500"
    )


def test_the_command_writes_every_line_as_json(kbench, tmp_path, refused):
    path = tmp_path / "doctor.json"
    done = kbench("doctor", "--experiment", "demo", "--json", path)
    assert done.returncode == 0, done.stdout
    findings = json.loads(path.read_text())["findings"]
    assert {"memory", "/dev/shm", "clock", "disk", "GPU"} <= {f["name"] for f in findings}
    assert all(finding["state"] in ("ok", "note") for finding in findings)
    refused(kbench("doctor", "--experiment", "dmo"), "did you mean 'demo'")
