"""The variational bound of the Kullback-Leibler divergence of pairs from strangers."""

from __future__ import annotations

from kbench.lazily import torch
from kbench.objective.base import Objective, exponential, strangers_mean, unreachable
from kbench.similarity.base import Similarity


class KullbackLeibler(Objective):
    """A bound of the mutual information, reached where the logits are 1 + PMI.

    The convex conjugate of u log u is exp(t - 1); its maximum over t is where t = f'(ratio). From
    20 on the exponential goes on as its tangent, so that a few large logits do not end a training;
    no density ratio is near exp(19).
    """

    name = "kullback-leibler"
    formula = "-1/B sum_i l_ii + 1/(B (B - 1)) sum_(i != j) exp(l_ij - 1)"
    source = (
        "Nguyen, Wainwright and Jordan 2010, arXiv 0809.0853; f-divergences of logits: Nowozin et"
        " al. 2016, arXiv 1606.00709"
    )
    licence = "no released code is known"

    def loss(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the loss in nats; it may be negative."""
        return strangers_mean(exponential(logits - 1)) - logits.diagonal().mean()

    def to_pmi(self, logits: torch.Tensor, batch: int) -> torch.Tensor:
        """Return l - 1."""
        return logits - 1

    @classmethod
    def refuse(cls, similarity: type[Similarity]) -> str | None:
        """Return why, if all scores are negative."""
        return unreachable(cls, similarity) or super().refuse(similarity)
