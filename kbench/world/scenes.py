"""What an image of the embedded world shows: four attributes, and how probable each combination
is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from kbench.world_family import Family

SHAPES = {
    "circle": 0.25,
    "ring": 0.10,
    "square": 0.22,
    "triangle": 0.18,
    "star": 0.14,
    "cross": 0.11,
}
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white")
SIZES = ("small", "big")
BACKGROUNDS = ("black", "gray", "pink", "cyan")
ATTRIBUTES = ("glyph", "colour", "size", "background")

_SHAPES_SHARE = 0.60
_SIZES_OF_EVEN, _SIZES_OF_ODD = (0.45, 0.55), (0.60, 0.40)


@dataclass(frozen=True)
class Scene:
    """One combination of attributes; each is a word of the tuples above (`glyph` a shape or a
    digit).
    """

    glyph: str
    colour: str
    size: str
    background: str

    @property
    def is_digit(self) -> bool:
        return self.glyph in DIGITS


def all_scenes(family: Family) -> tuple[list[Scene], np.ndarray]:
    """Return the S scenes of positive probability, 346 in the plain world, and the prior, (S,)
    float64, which sums to 1.

    A shape's colour depends on the shape, the background on the colour, the size on whether the
    shape's index is even; so attributes predict one another, and PMI is not a sum over attributes.
    Digits are big, white on black.
    """
    scenes, weights = zip(*_shapes(family), *_digits(), strict=True)
    prior = np.array(weights)
    return list(scenes), prior / prior.sum()


def words_of_shapes(family: Family) -> dict[str, tuple[str, ...]]:
    """Return what can be said of a shape, by attribute."""
    return {
        "glyph": tuple(SHAPES)[: family.shapes],
        "colour": COLOURS[: family.colours],
        "size": SIZES,
        "background": BACKGROUNDS,
    }


def alternatives(scene: Scene, attribute: str, family: Family) -> list[str]:
    """Return what else an attribute could be; of a shape another shape, of a digit a digit."""
    words = words_of_shapes(family)[attribute]
    if scene.is_digit and attribute == "glyph":
        words = DIGITS
    return [word for word in words if word != getattr(scene, attribute)]


def _shapes(family: Family) -> Iterator[tuple[Scene, float]]:
    colours, shapes = COLOURS[: family.colours], dict(islice(SHAPES.items(), family.shapes))
    total = sum(shapes.values())  # 1 where there are all
    for g, (shape, shape_share) in enumerate(shapes.items()):
        sizes = _SIZES_OF_ODD if g % 2 else _SIZES_OF_EVEN
        for c, (colour, colour_share) in enumerate(
            zip(colours, _cyclic(len(colours), g, 2), strict=True)
        ):
            backgrounds = _cyclic(len(BACKGROUNDS), c, 1)
            for size, size_share in zip(SIZES, sizes, strict=True):
                for background, background_share in zip(BACKGROUNDS, backgrounds, strict=True):
                    share = shape_share / total * colour_share * size_share * background_share
                    yield Scene(shape, colour, size, background), _SHAPES_SHARE * share


def _digits() -> Iterator[tuple[Scene, float]]:
    weights = 1 / (np.arange(len(DIGITS)) + 6)
    for digit, share in zip(DIGITS, weights / weights.sum(), strict=True):
        yield Scene(digit, "white", "big", "black"), (1 - _SHAPES_SHARE) * share


def _cyclic(number: int, start: int, offset: int) -> np.ndarray:
    """Probabilities (number,) proportional to 1 / (offset + steps from `start`, counted
    cyclically).
    """
    weights = 1 / (offset + (np.arange(number) - start) % number)
    return weights / weights.sum()
