"""Ways to draw random features whose inner product is a kernel on average: one file each, found by itself."""

import sys

from kbench import plugins
from kbench.similarity.estimators.base import Estimator


def names() -> list[str]:
    """Return the names of all estimators, sorted."""
    return plugins.names(sys.modules[__name__])


def get(name: str) -> type[Estimator]:
    """Return the class of the estimator `name`; UserError naming the nearest match if there is none."""
    return plugins.load(sys.modules[__name__], "estimator", name)
