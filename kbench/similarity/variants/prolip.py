"""Inner product of two uncertain embeddings, less half of their variances."""

from __future__ import annotations

from kbench.lazily import torch
from kbench.similarity.probabilistic import ProbabilisticSimilarity


class Prolip(ProbabilisticSimilarity):
    """<v, t> - (var(v) + var(t)) / 2, with variances summed over dimensions."""

    name = "prolip"
    formula = "<v, t> - 1/2 (var v + var t), unit pooled means, learned variances"
    source = "Chun et al. 2025 (ProLIP), arXiv 2410.18857, and its released code"
    licence = "MIT"
    largest_score = 1.0

    def terms(
        self, mean: torch.Tensor, variance: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean, and minus half of the variance."""
        return mean, -variance / 2

    def score(
        self, image: torch.Tensor, text: torch.Tensor, variance: torch.Tensor
    ) -> torch.Tensor:
        """Return the inner product less half of the variance."""
        return (image * text).sum(-1) - variance / 2
