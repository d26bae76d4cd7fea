"""The world that stored pairs are of."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from kbench.world.model import World
from kbench.world_family import Family, only

if TYPE_CHECKING:
    from kbench.evaluate.store import Reader


def world_of(features: Reader) -> World:
    """Return the world that the pairs of a set are of, the plain one where features do not say;
    UserError if they are of several.
    """
    said = features.array("test/worlds") if "test/worlds" in features.shapes else ()
    return _made(only(map(Family.of, said)))


@lru_cache(maxsize=8)
def _made(family: Family) -> World:
    """Return a world, whose tables take a tenth of a second, once for all that ask."""
    return World(family)
