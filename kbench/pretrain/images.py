"""What a training sees of an image."""

from kbench.corpus.augmentation import Crop
from kbench.corpus.crop import Cropper
from kbench.experiment.schema import RunConfig
from kbench.pretrain import whole_image


def cropper(config: RunConfig, crop: Crop | None) -> Cropper:
    """Return what makes the towers' input of an image; crop: at random, None: never.

    Towers that start from an imported model see an image that is not cropped at random as they do
    in evaluation, by the model's own resize mode and filter: a frozen tower knows no other.
    """
    whole = whole_image.transform(config.towers) if config.start else None
    return Cropper(config.towers.image_size, crop, whole)
