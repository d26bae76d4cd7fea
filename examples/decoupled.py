"""An objective of one's own: copied into `workflow/objectives/`, it is known as `decoupled`."""

import torch

from kbench.objective.base import Objective


class Decoupled(Objective):
    """InfoNCE whose denominators leave the true pair out.

    With many pairs in a batch its minimum is that of InfoNCE, the pointwise mutual information plus
    a constant.
    """

    name = "decoupled"
    formula = "1/(2B) sum_i [-2 l_ii + log sum_(j != i) exp l_ij + log sum_(j != i) exp l_ji]"
    source = "Yeh et al. 2021, arXiv 2110.06848"
    blind_to_shift = True

    def loss(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the loss in nats; it may be negative."""
        pairs = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        strangers = logits.masked_fill(pairs, -torch.inf)
        denominators = (strangers.logsumexp(1) + strangers.logsumexp(0)) / 2
        return (denominators - logits.diagonal()).mean()

    def to_pmi(self, logits: torch.Tensor, batch: int) -> torch.Tensor:
        """Return the logits: at the optimum they are the pointwise mutual information plus a
        constant.
        """
        return logits
