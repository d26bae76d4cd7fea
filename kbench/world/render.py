"""Drawing a scene: 32 x 32 RGB, position and exact colour at random, every attribute still to be
read off.
"""

import math

import numpy as np
from PIL import Image, ImageDraw

from kbench.world.digits import DigitImages
from kbench.world.scenes import Scene

SIDE = 32
# Half the longer side of the box around the glyph, in pixels. The ranges are disjoint, so size is
# certain.
RADII = {"small": (6.5, 8.0), "big": (10.5, 13.0)}
# More than this, and towers that train in a minute on a CPU do not reliably learn to tell the
# shapes apart.
CENTRE_JITTER = 2.0
# Background that always remains around a glyph.
MARGIN = 1
COLOUR_JITTER = 10.0
PALETTE = {
    "red": (220, 35, 40),
    "orange": (240, 135, 25),
    "yellow": (240, 225, 45),
    "green": (45, 155, 60),
    "blue": (40, 75, 215),
    "purple": (125, 45, 165),
    "white": (244, 244, 244),
    "black": (14, 14, 14),
    "gray": (125, 125, 125),
    "pink": (242, 165, 200),
    "cyan": (90, 215, 230),
}
_SUPERSAMPLING = 2
_RING_HOLE = 0.55
_STAR_NOTCH = 0.42
_CROSS_ARM = 0.30


def render(scene: Scene, rng: np.random.Generator, digits: DigitImages) -> Image.Image:
    """Draw the scene as a 32 x 32 RGB image; a digit is one of `digits[scene.glyph]`, chosen at
    random.

    Radius uniform in the size's range, centre moved by at most 2 pixels but never so far that the
    glyph leaves less than one pixel of background, every colour channel moved by at most 10.
    """
    uniform = rng.random(9)
    low, high = RADII[scene.size]
    radius = low + (high - low) * uniform[0]
    centre = SIDE / 2 + min(CENTRE_JITTER, SIDE / 2 - MARGIN - radius) * (2 * uniform[1:3] - 1)
    image = Image.new("RGB", (SIDE, SIDE), _colour(scene.background, uniform[3:6]))
    if scene.is_digit:
        mask, corner = _digit(digits[scene.glyph], radius, centre, rng)
    else:
        mask, corner = _shape(scene.glyph, radius, centre), (0, 0)
    image.paste(_colour(scene.colour, uniform[6:9]), corner, mask)
    return image


def _colour(name: str, uniform: np.ndarray) -> tuple[int, ...]:
    jitter = COLOUR_JITTER * (2 * uniform - 1)
    return tuple(
        round(channel + shift)
        for channel, shift in zip(PALETTE[name], jitter.tolist(), strict=True)
    )


def _digit(
    images: np.ndarray, radius: float, centre: np.ndarray, rng: np.random.Generator
) -> tuple[Image.Image, tuple[int, ...]]:
    """Return the mask of one image, scaled to a side of two radii, and its upper left corner."""
    side = math.floor(2 * radius)
    image = Image.fromarray(images[rng.integers(len(images))])
    corner = np.round(centre - side / 2)
    return image.resize((side, side), Image.Resampling.BICUBIC), tuple(corner.astype(int).tolist())


def _shape(glyph: str, radius: float, centre: np.ndarray) -> Image.Image:
    """Return the mask of a shape on the whole canvas."""
    mask = Image.new("L", (SIDE * _SUPERSAMPLING,) * 2)
    draw = ImageDraw.Draw(mask)
    x, y = (centre * _SUPERSAMPLING).tolist()
    scale = radius * _SUPERSAMPLING
    if glyph in _POLYGONS:
        draw.polygon([(x + scale * u, y + scale * v) for u, v in _POLYGONS[glyph]], fill=255)
    else:
        _disc(draw, x, y, scale, 255)
    if glyph == "ring":
        _disc(draw, x, y, scale * _RING_HOLE, 0)
    return mask.reduce(_SUPERSAMPLING)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: int) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


Outline = list[tuple[float, float]]


def _spokes(radii: list[float]) -> Outline:
    """Return points at equal angles clockwise from the top, at these distances from the centre."""
    angles = [2 * math.pi * i / len(radii) - math.pi / 2 for i in range(len(radii))]
    return [
        (r * math.cos(angle), r * math.sin(angle)) for r, angle in zip(radii, angles, strict=True)
    ]


def _cross() -> Outline:
    """Return an upright cross, one quarter turned four times."""
    arm = _CROSS_ARM
    quarter = [(arm, -1), (arm, -arm), (1, -arm)]
    turns = [lambda u, v: (u, v), lambda u, v: (-v, u), lambda u, v: (-u, -v), lambda u, v: (v, -u)]
    return [turn(u, v) for turn in turns for u, v in quarter]


def _fitted(outline: Outline) -> Outline:
    """Move and scale an outline so that its bounding box is centred on 0 and its longer side goes
    from -1 to 1.
    """
    points = np.array(outline)
    low, high = points.min(axis=0), points.max(axis=0)
    return [tuple(point) for point in ((2 * points - low - high) / (high - low).max()).tolist()]


_POLYGONS = {
    "square": [(-1, -1), (1, -1), (1, 1), (-1, 1)],
    "triangle": _fitted(_spokes([1.0] * 3)),
    "star": _fitted(_spokes([1.0, _STAR_NOTCH] * 5)),
    "cross": _cross(),
}
