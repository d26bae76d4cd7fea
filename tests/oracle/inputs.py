"""What both sides are given: made from seeds, so that only outputs have to be kept."""

import hashlib

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
    """Return validation scores (97,) in percent over the grid: a hill, rounded so that there are
    plateaus and ties.
    """
    generator = np.random.default_rng([314, seed])
    # The top may lie beyond either end of the grid.
    top, width = generator.uniform(-20, GRID + 20), generator.uniform(5, 60)
    scores = 80 * np.exp(-(((np.arange(GRID) - top) / width) ** 2)) + generator.normal(0, 3, GRID)
    return np.round(scores, int(generator.integers(-1, 3)))


def captions() -> list[str]:
    """Return captions of every length and some that tokenizers stumble over."""
    generator = np.random.default_rng(77)
    words = [
        "dog",
        "a",
        "red",
        "!",
        "runs",
        "wow!(cat)",
        "über",
        "New York",
        "3rd",
        "don't",
        "x-ray",
        "naïve",
        "日本",
    ]
    found = [
        "",
        " ",
        "a",
        "!",
        "!!!",
        "wow!!!wow",
        "hi!there",
        "&amp;amp; &lt;b&gt;",
        "line\nbreak\ttab",
        "emoji 🐶🎉",
    ]
    found += [
        "A PHOTO OF A DOG.",
        "  spaces   everywhere  ",
        "ﬁne ﬀ ligatures",
        "\u200bzero width",
        "100% of 1,234.5",
    ]
    # Around the 77 tokens of the context, start and end included.
    found += [" ".join(["dog"] * size) for size in (10, 74, 75, 76, 77, 78, 200)]
    found += [" ".join(["wow!now"] * size) for size in (24, 25, 26, 40)]
    found += [
        " ".join(generator.choice(words, size)) for size in (*range(2, 26, 2), 30, 45, 60, 90, 150)
    ]
    return found


# A small model of the release's architecture: its own classes on one side, kbench's towers on the
# other.
WIDTH, LAYERS, HEADS, EMBEDDING = 64, 2, 4, 64
TRUNK, TRUNK_WIDTH = "vit_tiny_patch16_224", 192
BATCH, STEPS, FEATURES = 4, 4, 128
EPOCHS, STEPS_OF_AN_EPOCH = 3, 4


def weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the weights of a tensor by the release's name for it, float32."""
    generator = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))
    drawn = generator.standard_normal(shape)
    if len(shape) < 2:
        centre = 1.0 if name.endswith("weight") else 0.0
        return (centre + 0.1 * drawn).astype(np.float32)
    # The release's own projections have their inputs first, torch's layers last.
    inputs = shape[0] if name.endswith(("_projection", "weight_proj")) else int(np.prod(shape[1:]))
    spread = 0.02 if "embed" in name or "token" in name else inputs**-0.5
    return (spread * drawn).astype(np.float32)


def batch(step: int) -> tuple[np.ndarray, list[str]]:
    """Return images (B, 3, 224, 224) uint8 with smooth parts, and a caption for each."""
    generator = np.random.default_rng([224, step])
    coarse = generator.integers(0, 256, (BATCH, 3, 14, 14), dtype=np.uint8)
    texts = captions()
    return coarse.repeat(16, 2).repeat(16, 3), [
        texts[(9 * step + 5 * i) % len(texts)] for i in range(BATCH)
    ]


def frequencies(step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random frequencies (D, d) of the Gaussian kernel of width 0.5, and phases (D,),
    float32.
    """
    generator = np.random.default_rng([1024, step])
    w = generator.standard_normal((FEATURES, EMBEDDING)) / 0.5
    return w.astype(np.float32), generator.uniform(0, 2 * np.pi, FEATURES).astype(np.float32)


def some(array: np.ndarray) -> list[float]:
    """Return a few of an array's numbers, spread over all of it."""
    flat = np.asarray(array, dtype=np.float64).ravel()
    return [round(float(x), 6) for x in flat[:: max(1, flat.size // 96)]]


def sets(side: str) -> tuple[np.ndarray, np.ndarray]:
    """Return points (B, M, d), not normalised, and weights (B, M, 1) of either sign, float64; one
    point is nearly 0.
    """
    size = {"image": 7, "text": 5}[side]
    generator = np.random.default_rng([8, size])
    points = generator.standard_normal((BATCH, size, EMBEDDING))
    points[0, 1] *= 1e-7
    return points, generator.standard_normal((BATCH, size, 1))


CLASS_NAMES = [
    "truck",
    "grey wolf",
    "American pit bull terrier",
    "3rd, don't!",
    "F-A-18",
    "naïve café",
    "the",
    "a",
]
PROMPTS = ["a photo of a {c}.", "{c}", "itap of my {c}, a type of pet!"]
EVALUATED = 24


def images() -> np.ndarray:
    """Return images (N, 224, 224, 3) uint8 to classify, from one colour to fine noise: a random
    model sees no less.
    """
    generator, found = np.random.default_rng(5), []
    for index in range(EVALUATED):
        side = (1, 2, 4, 7, 14, 28, 56, 112)[index % 8]
        coarse = generator.integers(0, 256, (side, side, 3), dtype=np.uint8)
        found.append(
            (coarse if index % 2 else coarse // 128 * 255)
            .repeat(224 // side, 0)
            .repeat(224 // side, 1)
        )
    return np.stack(found)


OUT_OF_BOUNDS = {
    "log": [-3.0, -1e-6, 0.0, 2.0, 4.60517, 4.6052, 4.7],
    "plain": [-1.0, 0.5, 1.0, 50.0, 100.0, 101.0],
}
"""Values that a step may leave the multiplier's parameter at."""

RADII = [0.1, 1.0, 3.0, 6.0, 8.0, 10.0, 14.0, 20.0, 24.0, 28.0, 40.0, 60.0, 99.0]
"""Where the table of radial frequencies of the inverse multiquadric kernel is looked at."""
