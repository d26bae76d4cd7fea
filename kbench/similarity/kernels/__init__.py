"""Positive definite kernels of the distance between points: one file each, found by itself."""

import sys

from kbench import plugins
from kbench.similarity.kernels.base import Kernel


def names() -> list[str]:
    """Return the names of all kernels, sorted."""
    return plugins.names(sys.modules[__name__])


def get(name: str) -> type[Kernel]:
    """Return the class of the kernel `name`; UserError naming the nearest match if there is none."""
    return plugins.load(sys.modules[__name__], "kernel", name)
