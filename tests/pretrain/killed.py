"""Training in a process of its own that has everything imported already, so that a test can kill
many of them.
"""

import multiprocessing
import os
import signal
from multiprocessing.synchronize import Event
from pathlib import Path

import torch
import torch.utils.tensorboard  # imported here once and not by every process

import kbench.towers.compat  # noqa: F401  # torchvision imports beside the CPU build of torch
from kbench.corpus import manifest
from kbench.experiment.load import read_run
from kbench.locations import Locations
from kbench.pretrain import loop

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["killed"])


def start(run: Path, world: Path, torn: bool = False) -> multiprocessing.Process:
    """Start training in a folder that holds config.json, with a checkpoint every few steps; returns
    after its start.

    torn: the process kills itself in the middle of writing its second checkpoint.
    """
    begun = CONTEXT.Event()
    process = CONTEXT.Process(target=_train, args=(run, world, torn, begun))
    process.start()
    assert begun.wait(120)
    return process


def _train(run: Path, world: Path, torn: bool, begun: Event) -> None:
    torch.set_num_threads(1)
    loop.CHECKPOINT_SECONDS, loop.LOG_EVERY = 0.1, 5
    steps = loop._train
    loop._train = lambda *arguments: (begun.set(), steps(*arguments))
    if torn:
        _tear()
    config, where = read_run(run / "config.json"), Locations(world=world)
    loop.pretrain(config, run, manifest.verify(config.corpus, where), where, "cpu", workers=0)


def _tear() -> None:
    write, written = torch.save, []

    def half(state: dict, path: Path) -> None:
        write(state, path)
        written.append(path)
        if len(written) == 2:
            os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    torch.save = half
