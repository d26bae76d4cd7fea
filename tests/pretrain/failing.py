"""Fails at each place of a job, each time in a process of its own: failing.py JOBS.json ENDED.json.

The processes are forked off this one, which has torch imported already, and end as any interpreter
does. JOBS.json has the words of each command; ENDED.json says how each place ended.
"""

import errno
import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from kbench import files
from kbench.cli import main
from kbench.corpus import stream
from kbench.corpus.crop import Cropper
from kbench.datasets.transform import Transform
from kbench.evaluate import features, scoring, store
from kbench.pretrain import card, loop, metrics, optimizer, selection
from kbench.pretrain.checkpoint import Checkpoints
from kbench.pretrain.processes import Processes
from kbench.tasks import zeroshot

MESSAGE = "made to fail here"
LIMIT = 30
"""Seconds from the start of a job to the end of every process."""


def _fail(*arguments, **named):
    raise RuntimeError(MESSAGE)


def _full(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


def _write_checkpoints(function):
    loop.CHECKPOINT_SECONDS = 0
    function()


def _fail_late():
    most, calls = Processes.most, []

    def late(self, value):
        calls.append(value)
        return most(self, value) if len(calls) < 8 else _fail()

    Processes.most = late


def _at(owner, name):
    return lambda: setattr(owner, name, _fail)


PLACES = {
    "before the first batch": ("pretrain", _at(stream.Loader, "__next__")),
    "in a loader process": ("pretrain", _at(Cropper, "__call__")),
    "in the transfer of a batch": ("pretrain", _at(loop.Trainer, "_loss")),
    "in the optimiser's step": ("pretrain", _at(optimizer.AdamW, "step")),
    "in clipping": ("pretrain", _at(loop.Trainer, "_clip")),
    "in counting": ("pretrain", _at(loop.Trainer, "_count")),
    "in logging": ("pretrain", _at(metrics.MetricsLog, "append")),
    "in choosing weights": ("pretrain", _at(selection.Selection, "due")),
    "in writing a checkpoint": (
        "pretrain",
        lambda: _write_checkpoints(_at(Checkpoints, "save")),
    ),
    "on a full disk": (
        "pretrain",
        lambda: _write_checkpoints(lambda: setattr(files.os, "fsync", _full)),
    ),
    "in telling the other processes to stop": ("pretrain", _fail_late),
    "after the last step": ("pretrain", _at(card, "peak_memory")),
    "in restoring the chosen weights": ("pretrain", _at(selection.Selection, "restore")),
    "in writing the weights": ("pretrain", _at(card, "save")),
    "in writing the card": ("pretrain", _at(card, "ModelCard")),
    "in reading an image": ("features", _at(Transform, "__call__")),
    "in encoding": ("features", _at(features.Encoder, "_encode")),
    "in writing features": ("features", _at(store.Writer, "finish")),
    "in a task": ("evaluate", _at(zeroshot, "class_scores")),
    "in writing a result": ("evaluate", _at(scoring.np, "savez_compressed")),
}
"""Name -> the command that fails there, and what makes it."""


def _members(group: int) -> list[int]:
    """Return the processes of a group that are still there."""
    command = ["ps", "-o", "pid=,stat=", "-g", str(group)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line.split() for line in listed.stdout.splitlines()]
    return [int(pid) for pid, state in lines if not state.startswith("Z")]


def _ended(pid: int) -> dict:
    """Wait for a job; return its status, its seconds, and how many of its processes stay."""
    started, status = time.monotonic(), None
    while status is None and time.monotonic() < started + LIMIT:
        done, code = os.waitpid(pid, os.WNOHANG)
        status = os.waitstatus_to_exitcode(code) if done else None
        time.sleep(0.05)
    seconds, left = time.monotonic() - started, _members(pid)
    for member in left:
        os.kill(member, signal.SIGKILL)
    return {"status": status, "seconds": seconds, "left": len(left)}


def _begin(words: list[str], errors: Path, prepare) -> None:
    os.setsid()
    with errors.open("wb") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    prepare()
    main(words)


def _all(jobs: dict, folder: Path) -> dict | None:
    """Return how each place ended; None in a process that is to fail, once its turn has come."""
    gc.freeze()
    ended = {}
    for place, (command, prepare) in PLACES.items():
        errors = folder / f"{len(ended)}.log"
        job = os.fork()
        if job == 0:
            words = [word.replace("{place}", str(len(ended))) for word in jobs[command]]
            _begin(words, errors, prepare)
            return None
        ended[place] = _ended(job) | {"errors": errors.read_text()}
    return ended


if __name__ == "__main__":
    outcomes = _all(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]).parent)
    if outcomes is not None:
        Path(sys.argv[2]).write_text(json.dumps(outcomes))
