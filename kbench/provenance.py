"""What produced a number: code, torch, machine, container image."""

import functools
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

from kbench import __version__, files

STARTED = time.time()
"""When this process began to work, seconds since 1970."""

IMAGE_VARIABLE = "KBENCH_IMAGE_DIGEST"
"""Set for jobs in a container by the workflow: SHA-256 of the SIF, or the image's digest."""


DECIDES = (
    "datasets",
    "corpus",
    "evaluate",
    "measures",
    "objective",
    "pretrain",
    "similarity",
    "tasks",
    "towers",
    "world",
)
"""Subpackages whose code decides the numbers; the rest reads, compares and renders them."""


@functools.cache
def code_version() -> str:
    """Return kbench's version and a hash of the code that decides the numbers, e.g.
    '0.1.0+3f9c2a41'.

    The hash is over file contents, so that a checkout, an installation and a container with the
    same code agree.
    """
    package = Path(__file__).parent
    parts = (path for part in DECIDES for path in (package / part).rglob("*.py"))
    paths = sorted([package / "seeds.py", *parts])
    hashes = [[path.relative_to(package).as_posix(), files.sha256(path)] for path in paths]
    return f"{__version__}+{files.canonical_hash(hashes, digits=8)}"


def times() -> dict[str, str]:
    """Return when this process started and what time it is now, UTC, to the second."""
    now = {"started": STARTED, "ended": time.time()}
    return {
        name: datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
        for name, at in now.items()
    }


def image_digest() -> str | None:
    """Return the digest of the container image this process runs in, as the workflow passed it, or
    None.
    """
    return os.environ.get(IMAGE_VARIABLE) or None


@functools.cache
def machine() -> str:
    """Return the processor's model and the number of cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        pass
    return f"{model}, {cores} cores"


def device_name(device: "str | object") -> str:
    """Return 'cpu' or the accelerator's name."""
    if str(device).startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return str(device)
