"""Memory that this process holds or has held at most."""

import contextlib
import gc
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

STATUS = Path("/proc/self/status")


def resident_bytes() -> int:
    """Return the memory that this process holds now."""
    return psutil.Process().memory_info().rss


def anonymous_bytes() -> int:
    """Return the memory that this process holds now, pages of mapped files not counted (Linux)."""
    return _of("RssAnon")


def peak_bytes() -> int:
    """Return the most memory that this process has held so far, pages of mapped files included."""
    if STATUS.exists():
        # Not ru_maxrss, which begins with what the process held that started this one.
        return _of("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Make many objects that stay without the search for unused ones, which would look at all of
    them again and again, and leave them out of it afterwards.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_on:
            gc.enable()


def _of(name: str) -> int:
    lines = STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
