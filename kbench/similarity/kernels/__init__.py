"""Positive definite kernels of the distance between points: one file each, found by itself."""

import sys

from kbench import plugins
from kbench.similarity.kernels.base import Kernel

FAMILY = plugins.Family(sys.modules[__name__], "kernel")


def names() -> list[str]:
    """Return the names of all kernels, sorted."""
    return FAMILY.names()


def get(name: str) -> type[Kernel]:
    """Return the class of the kernel `name`; UserError naming the nearest match if there is
    none.
    """
    return FAMILY.load(name)
