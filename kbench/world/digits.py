"""Real handwritten digits, 8 x 8, from scikit-learn's package: 1,300 to train on, 497 held out."""

import importlib.util
from pathlib import Path

import numpy as np

from kbench.seeds import derive
from kbench.world.scenes import DIGITS

TRAINING_IMAGES = 1300

# The images of each digit by its name: (n, 8, 8) uint8, 0 background to 255 ink.
DigitImages = dict[str, np.ndarray]


def digit_images() -> tuple[DigitImages, DigitImages]:
    """Return the training and the held-out images (Alpaydin and Kaynak, UCI 'optical recognition of
    digits').

    The split is at random but the same in every world, whatever its seed: what is held out is held
    out everywhere.
    """
    images, labels = _read()
    order = np.random.default_rng(derive("world digits")).permutation(len(images))
    parts = order[:TRAINING_IMAGES], order[TRAINING_IMAGES:]
    training, held_out = (
        {name: images[part][labels[part] == digit] for digit, name in enumerate(DIGITS)}
        for part in parts
    )
    return training, held_out


def _read() -> tuple[np.ndarray, np.ndarray]:
    """Return images (1797, 8, 8) uint8 and labels (1797,), read as sklearn.datasets.load_digits
    does.

    Read from the package's file because importing sklearn.datasets takes longer than making a small
    world.
    """
    package = importlib.util.find_spec("sklearn")
    table = np.loadtxt(
        Path(package.origin).parent / "datasets/data/digits.csv.gz", delimiter=",", dtype=np.int64
    )
    images = table[:, :-1].reshape(-1, 8, 8)
    return (images * 255 // 16).astype(np.uint8), table[:, -1]
