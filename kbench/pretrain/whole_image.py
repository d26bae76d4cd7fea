"""What an imported model sees of an image that is not cropped at random.

Only trainings that start from one use it, so that an edit of evaluation's transform makes no other
run another one.
"""

from kbench.datasets.transform import Transform
from kbench.towers.config import TowerConfig


def transform(towers: TowerConfig) -> Transform:
    """Return what open_clip makes of an image for these towers in evaluation."""
    return Transform.of(towers)
