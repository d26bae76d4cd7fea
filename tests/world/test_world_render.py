"""The image shows its scene: every attribute can be read off, and digits are scikit-learn's."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from kbench.world.digits import digit_images
from kbench.world.render import COLOUR_JITTER, PALETTE, RADII, render
from kbench.world.scenes import BACKGROUNDS, COLOURS, DIGITS, SHAPES, Scene


@pytest.fixture(scope="module")
def digits():
    return digit_images()


def glyph_mask(pixels: np.ndarray) -> np.ndarray:
    """Return how far each pixel is from the background colour, (32, 32), 1 at the farthest."""
    distance = np.abs(pixels.astype(float) - pixels[0, 0]).max(axis=2)
    return distance / distance.max()


def box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = (
        np.nonzero((mask > 0.35).any(axis=1))[0],
        np.nonzero((mask > 0.35).any(axis=0))[0],
    )
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def outline(pixels: np.ndarray) -> np.ndarray:
    """Return the glyph cut out and brought to 16 x 16."""
    mask = Image.fromarray((glyph_mask(pixels) * 255).astype(np.uint8))
    return np.asarray(
        mask.resize((16, 16), Image.Resampling.BOX, box=box(glyph_mask(pixels))), dtype=float
    )


def nearest(colour: np.ndarray, names: tuple[str, ...]) -> str:
    return min(names, key=lambda name: np.abs(colour - np.array(PALETTE[name])).max())


def extent(pixels: np.ndarray) -> int:
    left, top, right, bottom = box(glyph_mask(pixels))
    return max(right - left, bottom - top)


@pytest.fixture(scope="module")
def patterns():
    """The outline of each shape, averaged over a few clean pictures."""
    rng = np.random.default_rng(99)
    return {
        shape: np.mean(
            [
                outline(np.asarray(render(Scene(shape, "white", size, "black"), rng, {})))
                for size in RADII
                for _ in "ab"
            ],
            axis=0,
        )
        for shape in SHAPES
    }


def test_every_attribute_of_a_shape_can_be_read_off(world, patterns):
    rng = np.random.default_rng(0)
    for scene in [scene for scene in world.scenes if not scene.is_digit] * 2:
        pixels = np.asarray(render(scene, rng, {}))
        mask = glyph_mask(pixels)
        seen = Scene(
            glyph=min(patterns, key=lambda shape: np.abs(patterns[shape] - outline(pixels)).sum()),
            colour=nearest(np.median(pixels[mask > 0.95], axis=0), COLOURS),
            # Twice the largest small radius is 16, twice the least big one 21.
            size="big" if extent(pixels) > 18.5 else "small",
            background=nearest(pixels[0, 0], BACKGROUNDS),
        )
        assert seen == scene


def test_radii_are_disjoint():
    assert RADII["small"][1] < RADII["big"][0]


@pytest.mark.parametrize("glyph", SHAPES)
def test_glyphs_are_never_cut(glyph):
    rng = np.random.default_rng(1)
    sizes = set()
    for _ in range(200):
        pixels = np.asarray(render(Scene(glyph, "white", "big", "black"), rng, {})).astype(int)
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert (border == pixels[0, 0]).all()
        sizes.add(extent(pixels))
    assert len(sizes) >= 4


def test_position_and_colour_vary_within_bounds():
    rng = np.random.default_rng(2)
    corners, colours = set(), []
    for _ in range(100):
        pixels = np.asarray(render(Scene("square", "blue", "small", "gray"), rng, {}))
        corners.add(box(glyph_mask(pixels))[:2])
        colours.append(np.median(pixels[glyph_mask(pixels) > 0.95], axis=0) - PALETTE["blue"])
    assert len(corners) > 20
    assert COLOUR_JITTER * 0.8 < np.abs(colours).max() <= COLOUR_JITTER


def test_an_image_is_32_rgb():
    image = render(Scene("star", "red", "big", "pink"), np.random.default_rng(0), {})
    assert (image.size, image.mode) == ((32, 32), "RGB")


def test_digits_are_those_of_scikit_learn_each_once(digits):
    reference = load_digits()
    expected = sorted(
        (int(d), (i * 255 // 16).astype(np.uint8).tobytes())
        for i, d in zip(*_arrays(reference), strict=True)
    )
    seen = sorted(
        (DIGITS.index(name), image.tobytes())
        for part in digits
        for name, images in part.items()
        for image in images
    )
    assert seen == expected


def _arrays(reference) -> tuple[np.ndarray, np.ndarray]:
    return reference.images.astype(int), reference.target


def test_digits_are_split_without_overlap(digits):
    training, held_out = (
        {image.tobytes() for images in part.values() for image in images} for part in digits
    )
    assert (len(training), len(held_out)) == (1300, 497)
    assert not training & held_out


def test_a_digit_shows_one_of_the_given_images(digits):
    training, _ = digits
    scene = Scene("three", "white", "big", "black")
    one = {"three": training["three"][:1]}
    pixels = np.asarray(render(scene, np.random.default_rng(0), one)).max(axis=2)
    left, top = np.argwhere(pixels > 60).min(axis=0)[::-1]
    right, bottom = np.argwhere(pixels > 60).max(axis=0)[::-1] + 1
    ink = one["three"][0]
    rows, columns = np.nonzero(ink.max(axis=1) > 60)[0], np.nonzero(ink.max(axis=0) > 60)[0]
    cut = Image.fromarray(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    expected = np.asarray(
        cut.resize((right - left, bottom - top), Image.Resampling.BICUBIC), dtype=float
    )
    assert np.corrcoef(expected.ravel(), pixels[top:bottom, left:right].ravel())[0, 1] > 0.9
