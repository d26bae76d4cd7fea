"""From an evaluation image to the towers' square input: torchvision's Resize and CenterCrop on PIL images."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from PIL import Image

from kbench.corpus.base import Unusable
from kbench.corpus.picture import MAX_PIXELS

BICUBIC = Image.Resampling.BICUBIC


@dataclass(frozen=True)
class Transform:
    """Resize the short side to `resize` pixels, bicubic, then cut the centred square of `crop` <= `resize` pixels.

    Byte for byte torchvision's Resize and CenterCrop (0.28) of an RGB image, without the pixels that the crop would
    throw away: PIL resizes in two passes, columns before rows, each rounded to uint8, so that only the columns that
    are kept need the second. Without torchvision's memory, too, for very long images.
    """

    resize: int
    crop: int

    @classmethod
    def whole(cls, size: int) -> Self:
        """Keep all of the short side, as the released zero-shot evaluation and CLIP_benchmark do."""
        return cls(size, size)

    @classmethod
    def released_probe(cls, size: int) -> Self:
        """Keep 224 of 256 pixels of the short side, as the released linear probe does, or as much at other sizes."""
        return cls(round(size * 256 / 224), size)

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Return an RGB image as (crop, crop, 3) uint8; Unusable if it is too long to be resized."""
        if self.resize * max(image.size) > MAX_PIXELS:
            raise Unusable(
                "huge image",
                f"its image of {image.width} x {image.height} pixels is too long to be resized to {self.resize}",
            )
        short = min(image.size)
        width, height = (self.resize * side // short for side in image.size)
        left, top = (round((side - self.crop) / 2) for side in (width, height))
        widened = image.resize((width, image.height), BICUBIC)
        # All columns at once unless the image is so tall that they would not fit.
        columns = max(1, min(self.crop, MAX_PIXELS // height))
        strips = []
        for start in range(left, left + self.crop, columns):
            strip = widened.crop((start, 0, min(start + columns, left + self.crop), image.height))
            resized = strip.resize((strip.width, height), BICUBIC)
            strips.append(np.asarray(resized.crop((0, top, strip.width, top + self.crop))))
        return np.concatenate(strips, axis=1)
