"""What a training sees of an image."""

from kbench.corpus.augmentation import Crop
from kbench.corpus.crop import Cropper
from kbench.experiment.schema import RunConfig


def cropper(config: RunConfig, crop: Crop | None) -> Cropper:
    """Return what makes the towers' input of an image; crop: at random, None: never.

    Towers that start from an imported model see an image that is not cropped at random as they do
    in evaluation, by the model's own resize mode and filter: a frozen tower knows no other.
    """
    if config.start is None:
        return Cropper(config.towers.image_size, crop)
    # Not above: no other training uses it, and its identity says so.
    from kbench.pretrain.whole_image import transform

    return Cropper(config.towers.image_size, crop, transform(config.towers))
