"""Signs of life between the processes of a run."""

import os
import sys
import threading
from datetime import timedelta

import torch
from torch import distributed

SILENCE = timedelta(seconds=45)
"""How long a process may be silent before the others take it for dead. A closed connection is
noticed at once.
"""

BEAT_SECONDS, GRACE_SECONDS = 5, 5
"""Between two signs of life; and for a process to leave in order once another one is dead."""


class Heartbeat:
    """Notices within a minute that another process is gone, even while this one waits for an
    accelerator.
    """

    def __init__(self) -> None:
        self.group = distributed.new_group(backend="gloo", timeout=SILENCE)
        self.finished, self.leaving = False, threading.Event()
        self.thread = threading.Thread(target=self._beat, daemon=True)
        self.thread.start()

    def finish(self) -> None:
        """Wait until all processes are finished: none may leave while another one still listens to
        it.
        """
        self.finished = True
        self.leaving.set()
        self.thread.join()

    def abandon(self) -> None:
        """Stop listening, whatever the others do; the thread has to be gone before the interpreter
        is.
        """
        self.leaving.set()
        self.thread.join(2 * BEAT_SECONDS)

    def _beat(self) -> None:
        try:
            while True:
                # Int64, whatever torch's default type is.
                finished = torch.tensor(int(self.finished))
                distributed.all_reduce(finished, group=self.group)
                if finished == distributed.get_world_size() or (
                    self.leaving.is_set() and not self.finished
                ):
                    return
                # Who is finished waits for the others' beats and not for the clock.
                self.finished or self.leaving.wait(BEAT_SECONDS)
        except RuntimeError:
            # The main thread as a rule finds out by itself and leaves in order.
            if not self.leaving.wait(GRACE_SECONDS):
                print(f"kbench: {lost(distributed.get_rank())}", file=sys.stderr, flush=True)
                os._exit(1)


def lost(rank: int) -> str:
    """Return the message of a process that stops because another one is gone."""
    return (
        f"process {rank} stops: another process of this run has died or stopped; run again to go on"
    )
