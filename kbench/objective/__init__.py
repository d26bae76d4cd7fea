"""Training objectives: one file each, found by itself here or in workflow/objectives."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kbench import plugins

if TYPE_CHECKING:
    from kbench.objective.base import Objective
    from kbench.similarity.base import Similarity

USUAL = "infonce"


FAMILY = plugins.Family(
    sys.modules[__name__], "objective", Path("workflow/objectives"), "kbench.objectives"
)


def names() -> list[str]:
    """Return the names of all objectives, sorted."""
    return FAMILY.names()


def get(name: str) -> type[Objective]:
    """Return the class of the objective `name`; UserError naming the nearest match if there is
    none.
    """
    return FAMILY.load(name)


def suited(similarity: type[Similarity]) -> str:
    """Return the usual objective, or the first other one where that makes no sense with a
    similarity.
    """
    return next(name for name in (USUAL, *names()) if get(name).refuse(similarity) is None)


def create(name: str) -> Objective:
    """Return the objective `name`; UserError naming the nearest match if there is none."""
    return get(name)()
