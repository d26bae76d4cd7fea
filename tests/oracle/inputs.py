"""What both sides are given: made from seeds, so that only outputs have to be kept."""

import numpy as np

COMMIT = "c6a965d"
"""Revision of github sony/wpse that the numbers were made by."""

GRID = 97
CURVES = 200

SPLIT_SIZES = {
    "imagenet1k": 1_281_167,
    "cifar10": 50_000,
    "cifar100": 50_000,
    "stl10": 5_000,
    "food101": 75_750,
    "cars": 8_144,
    "pets": 3_680,
    "an odd number": 1_009,
}
"""Training images of the datasets without an official validation split, as published."""


def curve(seed: int) -> np.ndarray:
    """Return validation scores (97,) in percent over the grid: a hill, rounded so that there are plateaus and ties."""
    generator = np.random.default_rng([314, seed])
    # The top may lie beyond either end of the grid.
    top, width = generator.uniform(-20, GRID + 20), generator.uniform(5, 60)
    scores = 80 * np.exp(-(((np.arange(GRID) - top) / width) ** 2)) + generator.normal(0, 3, GRID)
    return np.round(scores, int(generator.integers(-1, 3)))


def captions() -> list[str]:
    """Return captions of every length and some that tokenizers stumble over."""
    generator = np.random.default_rng(77)
    words = ["dog", "a", "red", "!", "runs", "wow!(cat)", "über", "New York", "3rd", "don't", "x-ray", "naïve", "日本"]
    found = ["", " ", "a", "!", "!!!", "wow!!!wow", "hi!there", "&amp;amp; &lt;b&gt;", "line\nbreak\ttab", "emoji 🐶🎉"]
    found += ["A PHOTO OF A DOG.", "  spaces   everywhere  ", "ﬁne ﬀ ligatures", "\u200bzero width", "100% of 1,234.5"]
    # Around the 77 tokens of the context, start and end included.
    found += [" ".join(["dog"] * size) for size in (10, 74, 75, 76, 77, 78, 200)]
    found += [" ".join(["wow!now"] * size) for size in (24, 25, 26, 40)]
    found += [" ".join(generator.choice(words, size)) for size in (*range(2, 26, 2), 30, 45, 60, 90, 150)]
    return found
