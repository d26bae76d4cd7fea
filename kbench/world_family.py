"""Which of a family of worlds: fewer shapes and colours, captions that name more or less.

All members share what they draw and how: attributes predict one another, general words include
particular ones, a few captions belong to other scenes. So what is found in one can be asked of the
others, which differ in how much there is to tell apart.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from kbench.errors import UserError

SHAPES, COLOURS = 6, 7
"""Of which a world has the first."""

FEWEST = 2
"""Shapes or colours, of which one has to be told from another."""

STEEPEST = 2.0
"""Specificity at most, up or down: 79 % of the captions then name all four attributes, or 0.1 %."""


class Family(NamedTuple):
    """One member: how many shapes and colours there are, and its specificity, by whose exponential
    a caption becomes more frequent for each attribute that it names. The plain one has all, at 0.
    """

    shapes: int = SHAPES
    colours: int = COLOURS
    specificity: float = 0.0

    @classmethod
    def of(cls, values: Iterable[float]) -> "Family":
        """Return the member that three numbers name; ValueError if there is none such."""
        shapes, colours, specificity = values
        family = cls(int(shapes), int(colours), float(specificity))
        few = FEWEST <= family.shapes <= SHAPES and FEWEST <= family.colours <= COLOURS
        if not few or not abs(family.specificity) <= STEEPEST:
            raise ValueError(f"no world of the family: {family}")
        return family

    @property
    def is_plain(self) -> bool:
        """Whether it is the world of releases that knew no other."""
        return self == Family()

    def shares(self, named: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
        """Return how often captions name which attributes, from how often they do at 0."""
        if self.specificity == 0:
            return named
        tilted = {
            words: share * np.exp(self.specificity * len(words)) for words, share in named.items()
        }
        total = sum(tilted.values())
        return {words: float(share / total) for words, share in tilted.items()}


def only(families: Iterable[Family]) -> Family:
    """Return the member that all pairs of a set are of, the plain one if none says; UserError if
    they are of several.
    """
    distinct = sorted(set(families)) or [Family()]
    if len(distinct) > 1:
        raise UserError(f"pairs of two worlds in one set: {distinct[0]} and {distinct[1]}")
    return distinct[0]
