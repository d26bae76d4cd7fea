"""The variational bound of the Jensen-Shannon divergence of pairs from strangers."""

from __future__ import annotations

from kbench.lazily import functional, torch
from kbench.objective.base import Objective, strangers_mean, unreachable
from kbench.similarity.base import Similarity


class JensenShannon(Objective):
    """Pairs are told from strangers as a discriminator does, either as likely before; the best log
    odds are PMI.

    The sigmoid objective without its learned bias, and with strangers weighted as a mean.
    """

    name = "jensen-shannon"
    formula = "-1/B sum_i log sigmoid(l_ii) - 1/(B (B - 1)) sum_(i != j) log sigmoid(-l_ij)"
    source = "Nowozin et al. 2016, arXiv 1606.00709; as a bound of information: arXiv 1808.06670"
    licence = "no released code is known"

    def loss(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the loss in nats."""
        pairs = functional.softplus(-logits.diagonal()).mean()
        return pairs + strangers_mean(functional.softplus(logits))

    def to_pmi(self, logits: torch.Tensor, batch: int) -> torch.Tensor:
        """Return the logits."""
        return logits

    @classmethod
    def refuse(cls, similarity: type[Similarity]) -> str | None:
        """Return why, if all scores are negative."""
        return unreachable(cls, similarity) or super().refuse(similarity)
