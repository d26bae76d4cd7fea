"""The pairwise sigmoid objective of SigLIP."""

from __future__ import annotations

import math

from kbench.lazily import functional, nn, torch
from kbench.objective.base import Objective

INITIAL_BIAS = -10.0


class Sigmoid(Objective):
    """Every image-text combination of the batch is classified as a pair or not, with a learned bias
    b.

    With one pair for B - 1 combinations of strangers the optimal log odds are l + b = PMI - log(B -
    1).
    """

    name = "sigmoid"
    formula = "-1/B sum_ij log sigmoid(z_ij (l_ij + b)), z_ij = 1 for i = j, else -1"
    source = "Zhai et al. 2023 (SigLIP), arXiv 2303.15343, equation 1; b starts at -10"
    licence = "Apache-2.0"
    by_rows = True

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(INITIAL_BIAS))

    @property
    def logit_bias(self) -> torch.Tensor:
        """The learned bias b, a scalar."""
        return self.bias

    def loss(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the loss in nats per image."""
        return self.of_rows(logits, 0)

    def of_rows(self, logits: torch.Tensor, first: int) -> torch.Tensor:
        """Return the loss in nats per image of some rows."""
        signs = -torch.ones_like(logits)
        signs.diagonal(first).fill_(1)
        return -functional.logsigmoid(signs * (logits + self.bias)).sum() / len(logits)

    def to_pmi(self, logits: torch.Tensor, batch: int) -> torch.Tensor:
        """Return l + b + log(B - 1)."""
        return logits + self.bias + math.log(max(batch - 1, 1))
