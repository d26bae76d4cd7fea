"""`kbench bench gpu`: its parts in a shrunken form on the CPU, what is kept, and what is said."""

import argparse
import json
import subprocess

import pytest

from kbench import similarity
from kbench.bench import BENCHES, gpu
from kbench.bench.measure import Row

ROW = Row.of("a/b", 1.0, "seconds", 2.0)


def asked(**changed):
    usual = {"part": None, "device": "cuda", "small": False, "variants": None, "data": None}
    return argparse.Namespace(**usual | {"minutes": None} | changed)


def test_parts_are_benches_each_under_eight_minutes():
    assert all(part.bench in BENCHES and part.minutes <= 8 for part in gpu.PARTS.values())
    assert list(gpu.PARTS)[:2] == ["correctness", "step"]


def test_each_similarity_is_a_command_of_its_own_in_the_steps():
    words = list(gpu.commands(gpu.PARTS["step"], asked()))
    assert [one[2] for one in words] == similarity.names()
    assert all(one[-2:] == ("--device", "cuda") and "512" in one for one in words)
    [training] = gpu.commands(gpu.PARTS["pretraining"], asked(data="there"))
    assert training[-2:] == ("--data", "there")


def test_what_a_part_has_measured_is_kept_when_a_later_one_fails(kbench, monkeypatch, tmp_path):
    path, kept = tmp_path / "gpu.json", []

    def run(words, seconds):
        kept.append(len(json.loads(path.read_text())["rows"]) if path.exists() else 0)
        if words[0] == "features":
            raise KeyboardInterrupt
        return [ROW]

    monkeypatch.setattr(gpu, "_run", run)
    done = kbench("bench", "gpu", "--device", "cpu", "--variants", "cosine", "--json", path)
    assert done.returncode == 130
    assert kept == [0, 1, 2, 3] and len(json.loads(path.read_text())["rows"]) == 3


def test_a_command_that_takes_too_long_or_fails_is_said_and_the_next_one_runs(monkeypatch, capsys):
    def run(command, timeout, check):
        if "step" in command:
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(gpu.subprocess, "run", run)
    assert list(gpu.batches(asked(part="step", variants=["cosine"]))) == [[]]
    assert list(gpu.batches(asked(part="probe"))) == [[]]
    assert list(gpu.batches(asked(part="probe", minutes=0))) == []
    said = capsys.readouterr().out
    assert "ended after 480 s: kbench bench step --variants cosine" in said
    assert "failed with status 1: kbench bench probe" in said
    assert "not measured, out of time: kbench bench probe" in said


@pytest.mark.whole
def test_every_part_measures_in_its_shrunken_form(kbench_alone, tmp_path):
    path = tmp_path / "gpu.json"
    options = ("--device", "cpu", "--small", "--variants", "wpse-gaussian", "--json", path)
    done = kbench_alone("bench", "gpu", *options)
    assert done.returncode == 0 and "failed" not in done.stdout, done.stdout + done.stderr
    written = json.loads(path.read_text())
    rows = {row["name"]: row for row in written["rows"]}
    assert {name.split("/")[0] for name in rows} == {part.bench for part in gpu.PARTS.values()}
    error = rows["correctness/similarity/wpse-gaussian/fp32"]
    assert 0 < error["value"] < 1e-4 and error["ratio"] == 1
    assert rows["features/demo/batch-8/same"]["value"] == 1
    assert rows["retrieval/20-images/recall"]["ratio"] == pytest.approx(1, abs=1e-6)
    assert rows["probe/3-classes/array-api/accuracy"]["baseline"] > 0.4
    assert 0 < rows["pretraining/cosine/resumed"]["value"] < 1
    assert written["machine"].endswith("cores")
