"""Waiting for the next batch: timed, and ended by a stop signal where nobody else waits for this
process.
"""

import contextlib
import time
from collections.abc import Iterable

import torch

from kbench.pretrain.interrupt import StopRequest
from kbench.pretrain.trainer import Trainer

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images and tokens."""


class Batches:
    """The batches of a training; the time spent waiting for them counts among its progress."""

    def __init__(self, loader: Iterable[Batch], trainer: Trainer, stop: StopRequest) -> None:
        self.batches, self.progress = iter(loader), trainer.progress
        # One of several processes cannot leave the others in the middle of a step.
        self.waiting = stop.ends_waiting if trainer.processes.size == 1 else contextlib.nullcontext

    def next(self) -> Batch:
        """Return this process's part of the next batch; StoppedWaiting if told to stop."""
        started = time.monotonic()
        with self.waiting():
            batch = next(self.batches)
        waited = time.monotonic() - started
        self.progress.data_seconds += waited
        self.progress.seconds += waited
        return batch
