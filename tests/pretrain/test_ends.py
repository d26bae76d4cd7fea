"""A training that fails ends: with its status and one message, and without a process that stays."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from kbench import files
from kbench.corpus import manifest
from kbench.experiment.load import read_run
from kbench.locations import Locations

PLACES = {
    "before the first batch": "stream.Loader.__next__ = fail",
    "in a loader process": "Cropper.__call__ = fail",
    "in the transfer of a batch": "loop.Trainer._loss = fail",
    "in the optimiser's step": "torch.optim.AdamW.step = fail",
    "in clipping": "loop.Trainer._clip = fail",
    "in counting": "loop.Trainer._count = fail",
    "in logging": "metrics.MetricsLog.append = fail",
    "in choosing weights": "selection.Selection.due = fail",
    "in writing a checkpoint": "loop.CHECKPOINT_SECONDS = 0; Checkpoints.save = fail",
    "on a full disk": "loop.CHECKPOINT_SECONDS = 0; files.os.fsync = full",
    "in telling the other processes to stop": "Processes.most = late",
    "after the last step": "card.peak_memory = fail",
    "in restoring the chosen weights": "selection.Selection.restore = fail",
    "in writing the weights": "card.save = fail",
    "in writing the card": "card.ModelCard = fail",
}

PROGRAM = """
import errno, sys
import torch
from kbench import files
from kbench.cli import main
from kbench.corpus import stream
from kbench.corpus.crop import Cropper
from kbench.pretrain import card, loop, metrics, selection
from kbench.pretrain.checkpoint import Checkpoints
from kbench.pretrain.processes import Processes

def fail(*arguments, **named):
    raise RuntimeError("made to fail here")

def full(number):
    raise OSError(errno.ENOSPC, "No space left on device")

most, calls = Processes.most, []

def late(self, value):
    calls.append(value)
    return most(self, value) if len(calls) < 8 else fail()

{patch}
main(sys.argv[1:])
"""

LIMIT = 30
"""Seconds from the failure to the end of every process."""


def members(group):
    """Return the processes of a group that are still there."""
    found = subprocess.run(
        ["ps", "-o", "pid=,stat=", "-g", str(group)], capture_output=True, text=True, check=False
    )
    lines = [line.split() for line in found.stdout.splitlines()]
    return [int(pid) for pid, state in lines if not state.startswith("Z")]


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_every_process_is_gone_soon_after_a_failure(place, tiny_experiment, tiny_world, tmp_path):
    run, where = tiny_experiment[2][0], Locations(world=tiny_world)
    verified = manifest.verify(read_run(run / "config.json").corpus, where)
    files.write_json(tmp_path / "corpus.json", verified.model_dump(mode="json"))
    folder = tmp_path / run.name
    folder.mkdir()
    (folder / "config.json").write_bytes((run / "config.json").read_bytes())
    arguments = [
        "pretrain",
        "--run",
        folder,
        "--manifest",
        tmp_path / "corpus.json",
        "--world",
        tiny_world,
    ]
    program = textwrap.dedent(PROGRAM).replace("{patch}", PLACES[place])
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments), "--workers", "1", "--device", "cpu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _, errors = process.communicate(timeout=LIMIT + 60)
        spent = time.monotonic() - started
    finally:
        left = members(process.pid)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    assert left == [], f"after {spent:.0f} s"
    assert spent < LIMIT + 30, "importing included"
    if place == "on a full disk":
        assert (
            process.returncode == 1
            and "No space left on device" in errors
            and "Traceback" not in errors
        )
    else:
        assert process.returncode == 1 and "made to fail here" in errors
    assert not (folder / "model.json").exists()
