"""Ways to make the same step with less memory or in less time, as the training section asks for."""

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from kbench.errors import UserError
from kbench.experiment.schema import Training
from kbench.pretrain.model import ContrastiveModel


def prepare(model: ContrastiveModel, training: Training) -> None:
    """Set up activation checkpointing and torch.compile of the towers' transformer blocks.

    Blocks are compiled one by one: they are alike, so that this takes seconds where whole towers
    take minutes. Raises UserError if micro-batches would not give the gradient of the whole batch.
    """
    norms = [
        name for name, module in model.towers.named_modules() if isinstance(module, _BatchNorm)
    ]
    if training.micro_batch_size is not None and norms:
        raise UserError(
            f"micro_batch_size {training.micro_batch_size}: {norms[0]} of these towers normalises"
            " over the batch, so that micro-batches would not give the gradient of the whole"
            " batch; choose towers without batch norm"
        )
    if training.activation_checkpointing:
        model.towers.visual.set_grad_checkpointing(True)
        model.towers.text.set_grad_checkpointing(True)
    if training.compile:
        for block in _blocks(model.towers):
            block.compile()


def _blocks(towers: nn.Module) -> Iterator[nn.Module]:
    """Yield the transformer blocks, which timm and open_clip call differently."""
    for name, module in towers.named_modules():
        if name.rpartition(".")[2] in ("blocks", "resblocks"):
            yield from module
