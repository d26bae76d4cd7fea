"""Part of a long computation in a second process, where the machine has a second processor."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Result = TypeVar("Result")


def begin(work: Callable[[], Result]) -> Callable[[], Result]:
    """Begin `work` in a copy of this process, and return what waits for its result.

    With one processor, or on a system where a copy may not compute (all but Linux), it is done when
    it is waited for. So it is where the copy ends without a result: an exception is then this
    process's own.
    """
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2:
        return work
    import multiprocessing  # not above: most commands do without

    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(work, theirs), daemon=True)
    process.start()
    theirs.close()

    def result() -> Result:
        try:
            return ours.recv()
        except (EOFError, OSError):
            return work()
        finally:
            ours.close()
            process.join()

    return result


def _send(work: Callable[[], Any], to: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's is for whoever waits
    # What goes wrong is met again by whoever waits, who can say so.
    with contextlib.suppress(Exception):
        to.send(work())
