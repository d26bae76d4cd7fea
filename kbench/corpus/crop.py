"""From an image of any size to the towers' square input, as uint8."""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from kbench.corpus.augmentation import Crop
from kbench.corpus.picture import Box, Picture


class Cropper:
    """Cut a box out of a picture and resize it to (3, size, size) uint8, bicubic.

    Without a `crop` the box is the largest centred square, or `whole` makes (size, size, 3) uint8
    of the whole RGB image. With one, it is torchvision's RandomResizedCrop: area uniform in
    `scale`, log aspect ratio uniform in 3/4 to 4/3.
    """

    def __init__(
        self,
        size: int,
        crop: Crop | None,
        whole: Callable[[Image.Image], np.ndarray] | None = None,
    ) -> None:
        self.size, self.crop, self.whole = size, crop, whole

    def __call__(self, picture: Picture, generator: np.random.Generator) -> np.ndarray:
        """Return a picture's input; Unusable if it is corrupt."""
        if self.crop is None and self.whole is not None:
            return self.whole(picture.image()).transpose(2, 0, 1)
        height, width = picture.shape
        if self.crop is None:
            box = centred_square(height, width)
        else:
            box = random_box(height, width, self.crop.scale, generator)
        resized = picture.cut(box, self.size)
        if self.crop is not None and self.crop.flip and generator.random() < 0.5:
            resized = resized[:, :, ::-1]
        return resized


def centred_square(height: int, width: int) -> Box:
    """Return the largest centred square as (left, top, right, bottom)."""
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def random_box(
    height: int, width: int, scale: tuple[float, float], generator: np.random.Generator
) -> Box:
    """Draw a box as torchvision's RandomResizedCrop.get_params does: ten tries, then a centred box
    of legal ratio.
    """
    ratio = (3 / 4, 4 / 3)
    for _ in range(10):
        area = height * width * generator.uniform(*scale)
        aspect = math.exp(generator.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            top, left = (
                int(generator.integers(0, height - h + 1)),
                int(generator.integers(0, width - w + 1)),
            )
            return left, top, left + w, top + h
    w = min(width, round(height * ratio[1]))
    h = min(height, round(width / ratio[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h
