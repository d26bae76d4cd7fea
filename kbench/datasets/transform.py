"""From an evaluation image to the towers' square input: torchvision's Resize and CenterCrop on PIL
images.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from PIL import Image

from kbench.corpus.base import Unusable
from kbench.corpus.picture import MAX_PIXELS
from kbench.towers.config import TowerConfig


@dataclass(frozen=True)
class Transform:
    """Resize the short side to `resize` pixels, then cut the centred square of `crop` pixels; or as
    another mode of open_clip's has it.

    The whole image is resized, not only what the crop keeps: PIL resizes in two passes, each
    rounded to uint8, and which comes first depends on its version and on the image's shape (Pillow
    pull request 9549), so that bytes put together from parts would differ on some shapes.
    """

    resize: int
    crop: int
    mode: str = "shortest"
    interpolation: str = "bicubic"
    fill: int = 0

    @classmethod
    def of(cls, towers: TowerConfig) -> Self:
        """Do what open_clip's transform for evaluation does for these towers."""
        size, settings = towers.image_size, towers.preprocessing
        return cls(size, size, settings.resize_mode, settings.interpolation, settings.fill_color)

    @classmethod
    def whole(cls, size: int) -> Self:
        """Keep all of the short side, as the released zero-shot evaluation and CLIP_benchmark
        do.
        """
        return cls(size, size)

    @classmethod
    def released_probe(cls, size: int) -> Self:
        """Keep 224 of 256 pixels of the short side, as the released linear probe does, or as much
        at other sizes.
        """
        return cls(round(size * 256 / 224), size)

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Return an RGB image as (crop, crop, 3) uint8; Unusable if it would be huge when
        resized.
        """
        import kbench.towers.compat  # isort: skip  # noqa: F401  not above: listing and verifying do without torch
        from open_clip.transform import CenterCropOrPad, ResizeKeepRatio
        from torchvision.transforms import InterpolationMode, functional

        interpolation = InterpolationMode(self.interpolation)
        if self.mode == "squash":
            return np.asarray(functional.resize(image, [self.resize] * 2, interpolation))
        if self.mode == "longest":
            resized = ResizeKeepRatio(self.resize, interpolation=interpolation, longest=1)(image)
            return np.asarray(CenterCropOrPad(self.crop, fill=self.fill)(resized))
        if self.resize**2 * max(image.size) > MAX_PIXELS * min(image.size):
            raise Unusable(
                "huge image",
                f"its image of {image.width} x {image.height} pixels would have more than"
                f" {MAX_PIXELS} with its short side resized to {self.resize}",
            )
        resized = functional.resize(image, [self.resize], interpolation)
        return np.asarray(functional.center_crop(resized, [self.crop]))
