"""Negative expected squared distance of two uncertain embeddings."""

from __future__ import annotations

from kbench.lazily import torch
from kbench.similarity.probabilistic import REMARK, ProbabilisticSimilarity


class Pcme(ProbabilisticSimilarity):
    """-(|v - t|^2 + var(v) + var(t)), what the squared distance of a draw of each is on average."""

    name = "pcme"
    formula = "-|v - t|^2 - var v - var t, unit pooled means, learned variances"
    source = "Chun 2024 (PCME++), arXiv 2305.18171, and its released code"
    licence = "MIT"
    remark = f"{REMARK}. Twice the score of prolip, less 2: what tells them apart is their scale"
    largest_score = 0.0

    def terms(
        self, mean: torch.Tensor, variance: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean times sqrt(2), and minus its square and variance."""
        return 2**0.5 * mean, -mean.square().sum(1, keepdim=True) - variance

    def score(
        self, image: torch.Tensor, text: torch.Tensor, variance: torch.Tensor
    ) -> torch.Tensor:
        """Return minus the squared distance and the variance."""
        return -(image - text).square().sum(-1) - variance
