"""Two processes on one run: the second waits, then refuses; what a killed one held is free at
once.
"""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest
from tiny import ROOT

from kbench import lock
from kbench.cli import main

HOLDER = """
import sys, time, os
from pathlib import Path
from kbench import lock
with lock.held(Path(sys.argv[1])):
    child = os.fork()  # as loader processes are
    if child:
        print(child, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds tmp_path, with a child of its own; returns (process, child's
    pid).
    """
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    child = int(process.stdout.readline())
    yield process, child
    process.kill()
    process.wait()
    os.kill(child, signal.SIGKILL)


def test_a_second_process_waits_and_then_refuses(holder, tmp_path):
    started = time.monotonic()
    with (
        pytest.raises(lock.Busy, match=f"another process trains {tmp_path}") as refusal,
        lock.held(tmp_path, 1),
    ):
        pass
    assert 1 <= time.monotonic() - started < 10 and refusal.value.status == 75


def test_what_a_killed_process_held_is_free_although_its_child_lives(holder, tmp_path):
    process, child = holder
    process.kill()
    process.wait()
    os.kill(child, 0)
    with lock.held(tmp_path, 0):
        pass


def test_a_process_that_ends_is_waited_for(holder, tmp_path):
    process, _ = holder
    subprocess.Popen(["sh", "-c", f"sleep 1; kill {process.pid}"])
    with lock.held(tmp_path, 20):
        assert process.wait(5) is not None


def test_where_there_are_no_locks_it_is_said(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "lockf", refuse)
    with lock.held(tmp_path):
        assert "no locks on the file system" in capsys.readouterr().err


def test_two_trainings_of_one_run(
    tiny_experiment, tiny_world, tmp_path, monkeypatch, capsys, kbench
):
    _, _, (folder, _) = tiny_experiment
    run = tmp_path / "runs" / folder.name
    run.mkdir(parents=True)
    (run / "config.json").write_bytes((folder / "config.json").read_bytes())
    manifest = tmp_path / "corpus.json"
    made = kbench(
        "corpus",
        "verify",
        "--config",
        run / "config.json",
        "--output",
        manifest,
        "--world",
        tiny_world,
    )
    assert made.returncode == 0, made.stderr
    monkeypatch.setattr(lock.held.__wrapped__, "__defaults__", (0.5,))
    command = [sys.executable, "-c", HOLDER, str(run)]
    other = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    child = int(other.stdout.readline())
    try:
        with pytest.raises(SystemExit) as ended:
            main(
                [
                    "pretrain",
                    "--run",
                    str(run),
                    "--manifest",
                    str(manifest),
                    "--world",
                    str(tiny_world),
                ]
            )
    finally:
        other.kill()
        other.wait()
        os.kill(child, signal.SIGKILL)
    assert ended.value.code == 75 and "another process trains" in capsys.readouterr().err
    assert not (run / "metrics.jsonl").exists() and not (run / "model.json").exists()
