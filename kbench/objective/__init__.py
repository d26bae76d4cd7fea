"""Training objectives: one file each, found by itself."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kbench import plugins

if TYPE_CHECKING:
    from kbench.objective.base import Objective


def names() -> list[str]:
    """Return the names of all objectives, sorted."""
    return plugins.names(sys.modules[__name__])


def get(name: str) -> type[Objective]:
    """Return the class of the objective `name`; UserError naming the nearest match if there is none."""
    return plugins.load(sys.modules[__name__], "objective", name)


def create(name: str) -> Objective:
    """Return the objective `name`; UserError naming the nearest match if there is none."""
    return get(name)()
