"""The loss of a whole batch, of which each process holds a part and each process's memory perhaps a
part of that.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from kbench.pretrain.model import ContrastiveModel
from kbench.pretrain.processes import Processes
from kbench.similarity.base import Representation

BLOCK = 1 << 24
"""Logits that a process holds at a time, where the objective lets it: 64 MiB in float32."""


class BatchLoss(nn.Module):
    """The objective over the parts of all processes: the loss and gradient of one process with the
    whole batch.

    Each process scores its own images with the captions of all; the rows of scores are then
    gathered as well, so that no score is computed twice and the objective sees the whole matrix.
    Where the objective is a mean over rows, these stay where they are, a block at a time.

    With a micro-batch size, the towers see that many samples at a time and keep nothing but their
    representations; backward runs each micro-batch through the towers again (Gao et al. 2021, arXiv
    2101.06983, there written out by hand). Only the memory differs: it is not the sum of losses
    over small batches.
    """

    def __init__(
        self, model: ContrastiveModel, processes: Processes, micro_batch_size: int | None
    ) -> None:
        super().__init__()
        self.model, self.processes, self.micro_batch_size = model, processes, micro_batch_size

    def forward(
        self, images: torch.Tensor, tokens: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """Return the loss, the same scalar on all processes, from this one's images and captions.

        generator: seeded alike on all processes, for the random features that they share.
        """
        draw = self.model.draw(generator)
        ours = self._represent(partial(self.model.represent_images, draw=draw), images)
        texts = self._represent(partial(self.model.represent_texts, draw=draw), tokens)
        if self.model.objective.sees_likelihoods:
            return self._of_likelihoods(ours, texts)
        everyones = {name: self.processes.gather(tensor) for name, tensor in texts.items()}
        if self.model.objective.sees_features:
            images = self.processes.gather(ours["features"])
            return self.model.loss_of_features(images, everyones["features"])
        if self.model.objective.by_rows:
            return self._by_rows(ours, everyones)
        loss = self.model.objective(self.processes.gather(self.model.compare(ours, everyones)))
        if weight := self.model.objective.cone_weight:
            outside = self.processes.gather(self.model.similarity.outside_cones(ours, texts))
            loss = loss + weight * outside.mean()
        return loss

    def _of_likelihoods(self, ours: Representation, texts: Representation) -> torch.Tensor:
        """Return the loss of each process's own pairs together; no caption leaves its process."""
        seen = {name: self.processes.gather(tensor.detach()) for name, tensor in ours.items()}
        self.model.similarity.remember(seen)
        likelihoods = self.model.similarity.log_likelihoods(ours, texts)
        return self.model.objective.of_likelihoods(self.processes.gather(likelihoods))

    def _by_rows(self, ours: Representation, everyones: Representation) -> torch.Tensor:
        """Return the mean loss over all rows, of which no process holds more than a block at a
        time: backward computes a block again rather than keep it.
        """
        columns, rows = (len(next(iter(side.values()))) for side in (everyones, ours))
        size = max(1, BLOCK // columns)
        score = self._of_block
        if size < rows:
            score = partial(checkpoint, self._of_block, use_reentrant=False)
        sums = []
        for start in range(0, rows, size):
            block = {name: tensor[start : start + size] for name, tensor in ours.items()}
            first = self.processes.rank * rows + start
            sums.append(score(block, everyones, first) * min(size, rows - start))
        mean = torch.stack(sums).sum() / rows
        return self.processes.gather(mean[None]).mean()

    def _of_block(
        self, block: Representation, everyones: Representation, first: int
    ) -> torch.Tensor:
        logits = self.model.compare(block, everyones)
        with torch.autocast(logits.device.type, enabled=False):
            logits = logits if logits.dtype == torch.float64 else logits.float()
            return self.model.objective.of_rows(logits, first)

    def _represent(
        self, represent: Callable[[torch.Tensor], Representation], inputs: torch.Tensor
    ) -> Representation:
        if self.micro_batch_size is None or self.micro_batch_size >= len(inputs):
            return represent(inputs)
        parts = [
            checkpoint(represent, part, use_reentrant=False)
            for part in inputs.split(self.micro_batch_size)
        ]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
