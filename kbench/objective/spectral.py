"""The spectral contrastive objective."""

from __future__ import annotations

from kbench.lazily import torch
from kbench.objective.base import Objective
from kbench.similarity.base import Similarity


class Spectral(Objective):
    """A quadratic loss, least where the logits are the density ratio p(x, y) / (p(x) p(y)) itself.

    -2 E_pairs[l] + E_strangers[l^2] is, up to a constant, the mean squared error of l as that
    ratio.
    """

    name = "spectral"
    formula = "-2/B sum_i l_ii + 1/(B (B - 1)) sum_(i != j) l_ij^2"
    source = "HaoChen et al. 2021, arXiv 2106.04156"
    licence = "MIT"

    def loss(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the loss; it has no unit and may be negative."""
        batch = len(logits)
        strangers = logits.square().sum() - logits.diagonal().square().sum()
        return -2 * logits.diagonal().mean() + strangers / max(batch * (batch - 1), 1)

    def to_pmi(self, logits: torch.Tensor, batch: int) -> torch.Tensor:
        """Return the logarithm of the logits; what is below 1 / B^2 counts as that.

        A batch has B^2 combinations, so that it cannot tell a rarer one from one that never occurs;
        and nothing keeps a fitted ratio from being negative.
        """
        return logits.clamp(min=float(max(batch, 1)) ** -2).log()

    @classmethod
    def refuse(cls, similarity: type[Similarity]) -> str | None:
        """Return why, if all scores are negative."""
        if similarity.largest_score > 0:
            return super().refuse(similarity)
        return (
            f"the {cls.name} objective fits a density ratio, which is never negative, but scores of"
            f" {similarity.name} are never above {similarity.largest_score:g}"
        )
