"""What produced a number: code, torch, machine, container image."""

import functools
import os
import platform
import subprocess
from pathlib import Path

from kbench import __version__

IMAGE_VARIABLE = "KBENCH_IMAGE_DIGEST"
"""Set for jobs in a container by the workflow: SHA-256 of the SIF, or the image's digest."""


@functools.cache
def code_version() -> str:
    """Return kbench's version, followed by the git revision when it runs from a checkout ('+dirty' with changes)."""
    package = Path(__file__).resolve().parent
    if not (package.parent / ".git").exists():
        return __version__
    revision = _git(package, "rev-parse", "--short=12", "HEAD")
    changed = _git(package, "status", "--porcelain", "--", ".")
    return f"{__version__}+{revision}{'.dirty' if changed else ''}" if revision else __version__


def _git(folder: Path, *arguments: str) -> str:
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def image_digest() -> str | None:
    """Return the digest of the container image this process runs in, as the workflow passed it, or None."""
    return os.environ.get(IMAGE_VARIABLE) or None


@functools.cache
def machine() -> str:
    """Return the processor's model and the number of cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {cores} cores"


def device_name(device: "str | object") -> str:
    """Return 'cpu' or the accelerator's name."""
    if str(device).startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return str(device)
