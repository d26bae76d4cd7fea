"""Scores that are the logarithm of a product: exp(PMI), not PMI, is linear in features.

The floor, far below any density ratio that a batch can tell from none, keeps score and gradient
finite where a product is 0 or, with weights of both signs, negative.
"""

from __future__ import annotations

from kbench.lazily import torch
from kbench.similarity.base import Similarity
from kbench.similarity.scale import UnitScale

FLOOR = 1e-12


class LogSimilarity(Similarity):
    """log(product), with a multiplier of 1: a power of the product would not be linear in
    features.
    """

    multiplier = UnitScale

    def link(self, products: torch.Tensor) -> torch.Tensor:
        """Return log(max(product, 1e-12))."""
        return products.clamp(min=FLOOR).log()
