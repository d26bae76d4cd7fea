"""The variational bound of the squared Hellinger distance of pairs from strangers."""

from __future__ import annotations

from kbench.lazily import torch
from kbench.objective.base import Objective, exponential, strangers_mean, unreachable
from kbench.similarity.base import Similarity


class Hellinger(Objective):
    """Both errors cost the same, each the square root of a density ratio; least where the logits
    are PMI.

    Of f(u) = (sqrt(u) - 1)^2 the optimum is t = 1 - ratio^(-1/2), here written t = 1 - exp(-l / 2),
    which keeps t below 1. From 20 on an exponential goes on as its tangent.
    """

    name = "hellinger"
    formula = "1/B sum_i exp(-l_ii / 2) + 1/(B (B - 1)) sum_(i != j) exp(l_ij / 2) - 2"
    source = "Nowozin et al. 2016, arXiv 1606.00709; its output here is exp(-l / 2)"
    licence = "no released code is known"

    def loss(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the loss; it has no unit, and is negative where something has been learned."""
        pairs = exponential(-logits.diagonal() / 2).mean()
        return pairs + strangers_mean(exponential(logits / 2)) - 2

    def to_pmi(self, logits: torch.Tensor, batch: int) -> torch.Tensor:
        """Return the logits."""
        return logits

    @classmethod
    def refuse(cls, similarity: type[Similarity]) -> str | None:
        """Return why, if all scores are negative."""
        return unreachable(cls, similarity) or super().refuse(similarity)
