"""The embedded world: images and captions whose joint distribution, and so whose PMI, is known
exactly.

Coloured shapes and real handwritten digits, captions of several degrees of specificity; small
enough to train on with a laptop's processor, and offline. The only place in kbench where the
theoretical optimum of training is known.
"""

from kbench.world.model import World
from kbench.world.scenes import Scene
from kbench.world_family import Family

__all__ = ["Family", "Scene", "World"]
