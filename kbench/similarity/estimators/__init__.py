"""Ways to draw random features whose inner product is a kernel on average: one file each, found by
itself.
"""

import sys

from kbench import plugins
from kbench.similarity.estimators.base import Estimator

FAMILY = plugins.Family(sys.modules[__name__], "estimator")


def names() -> list[str]:
    """Return the names of all estimators, sorted."""
    return FAMILY.names()


def get(name: str) -> type[Estimator]:
    """Return the class of the estimator `name`; UserError naming the nearest match if there is
    none.
    """
    return FAMILY.load(name)
