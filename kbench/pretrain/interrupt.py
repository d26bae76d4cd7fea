"""Stop signals turned into a flag, so that a run stops between two steps with a checkpoint."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kbench.pretrain.processes import Processes
    from kbench.pretrain.trainer import Trainer

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

STATUS = os.EX_TEMPFAIL
"""Exit status (75) of a run that was told to stop: nothing is wrong, run it again. A scheduler may
requeue on it.
"""


class Interrupted(Exception):
    """The run was told to stop; its checkpoint is written. The command exits with STATUS."""


class StoppedWaiting(Exception):
    """A stop signal came while the process waited for data."""


class StopRequest:
    """Whether a stop was asked for."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.waiting = False

    def __call__(self, number: int, frame: object) -> None:
        self.signal = signal.Signals(number)
        if self.waiting:
            self.waiting = False
            raise StoppedWaiting

    def of_any(self, processes: Processes) -> bool:
        """Return, having asked all processes, whether any of them was told to stop; they then all
        know the signal.
        """
        number = processes.most(self.signal or 0)
        if number:
            self.signal = signal.Signals(number)
        return bool(number)

    def leave(self, stopped: bool, trainer: Trainer) -> None:
        """Raise Interrupted, if stopped, once all processes are here."""
        if not stopped:
            return
        # Whoever starts the processes may end all of them once one has left.
        trainer.processes.wait()
        step, run = trainer.progress.step, trainer.config.run
        raise Interrupted(f"{run}: {self.signal.name} at step {step}; run again to go on")

    @contextlib.contextmanager
    def ends_waiting(self) -> Iterator[None]:
        """Leave the block at once, with StoppedWaiting, when a stop is asked for."""
        self.waiting = True
        try:
            if self.signal:
                raise StoppedWaiting
            yield
        finally:
            self.waiting = False


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Catch the stop signals inside the block."""
    request = StopRequest()
    previous = {number: signal.signal(number, request) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
