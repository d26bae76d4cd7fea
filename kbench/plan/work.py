"""What a training has to compute, keep and write, counted on the model itself.

One image and one caption go through a model with random weights, and torch counts the matrix
products (`torch.utils.flop_counter`), with attention as products, and what is kept for the way
back. The way back takes twice the products of the way there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from kbench.experiment.schema import Evaluation, RunConfig
    from kbench.pretrain.model import ContrastiveModel

BYTES_OF_A_PARAMETER = 16
"""Weight, gradient and the optimiser's two moments, in single precision."""

CHECKPOINTS = 2
"""That lie in a run's folder; each has the weights and both moments."""


@dataclass(frozen=True)
class Work:
    """What one run is made of.

    image, text: floating-point operations on the way there of one image and one caption;
    parameters; kept: bytes that one pair keeps for the way back, in 16 bits; features: bytes of one
    image's features.
    """

    image: float
    text: float
    parameters: int
    kept: int
    features: int

    @property
    def training(self) -> float:
        """Operations of a training for one pair, there and back."""
        return 3 * (self.image + self.text)

    @property
    def disk(self) -> int:
        """Bytes that a training leaves: weights and checkpoints."""
        return self.parameters * 4 * (1 + 3 * CHECKPOINTS)

    def memory(self, pairs: int) -> int:
        """Return the bytes that a process needs that takes so many pairs at a time."""
        return self.parameters * BYTES_OF_A_PARAMETER + pairs * self.kept


def of(config: RunConfig, evaluation: Evaluation) -> Work:
    """Build a run's model, with random weights, and count."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from kbench.pretrain.model import ContrastiveModel

    model = ContrastiveModel(config).train()
    size = config.towers.image_size
    images = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    tokens = torch.zeros(2, config.towers.context_length, dtype=torch.long)
    with sdpa_kernel(SDPBackend.MATH):
        image = _counted(lambda: model.compute("image", images)) / 2
        text = _counted(lambda: model.compute("text", tokens)) / 2
        kept = _kept(model, images, tokens) // 2
    parameters = sum(parameter.numel() for parameter in model.parameters())
    # What is kept is counted in single precision.
    return Work(image, text, parameters, kept // 2, _features(model, images, evaluation))


def _counted(compute: Any) -> int:
    """Return the floating-point operations of a computation."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        compute()
    return counter.get_total_flops()


def _kept(model: ContrastiveModel, images: torch.Tensor, tokens: torch.Tensor) -> int:
    """Return the bytes of all tensors, but for parameters, that a step keeps for the way back."""
    import torch

    own = {parameter.data_ptr() for parameter in model.parameters()}
    seen: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        generator = torch.Generator().manual_seed(0)
        # The graph has to live until all is counted, so that no address is used twice.
        logits = model.logits(images, tokens, generator)
        total = sum(seen.values())
        del logits
    return total


def _features(model: ContrastiveModel, images: torch.Tensor, evaluation: Evaluation) -> int:
    """Return the bytes of one image's features, over all draws of random ones."""
    import torch

    settings = evaluation.random_features
    generator = torch.Generator().manual_seed(0)
    draw = model.similarity.draw(model.towers.embed_dim, generator, number=settings.number)
    with torch.no_grad():
        sets = model.similarity.embed(model.compute("image", images), "image")
        represented = model.similarity.represent(sets, "image", draw)
    draws = settings.draws if draw is not None else 1
    return draws * sum(array[:1].nbytes for array in represented.values())
