"""InfoNCE with both margins at once: a batch's logits as a plan that is doubly stochastic."""

from __future__ import annotations

from kbench.lazily import functional, torch
from kbench.objective.base import Objective

ROUNDS = 50
"""Of improving the plan, at most. Fewer than it takes give a bound of the loss from above, with
that bound's gradient.
"""


class Sinkhorn(Objective):
    """The mean negative logarithm of the pairs' share in the entropic transport plan of the batch.

    InfoNCE normalises rows in one half and columns in the other. Here one matrix P = exp(l + f_i +
    g_j) has rows and columns that all sum to 1. Its g are the biases of captions with which the
    images' half of InfoNCE is smallest, and that minimum is the loss. They count as constants in
    its gradient, (P - 1)/B, so that no normalisation is differentiated.

    It cannot see functions of an image or of a text alone, and no other objective's logits are so
    free: what is measured as the gap holds what they were left at. And PMI is its optimum only in
    the limit of large batches; at a batch of two pairs it is twice PMI.
    """

    name = "sinkhorn"
    formula = "-1/B sum_i log P_ii, P_ij = exp(l_ij + f_i + g_j), rows and columns of P sum to 1"
    source = (
        "kbench's form of inverse optimal transport, Shi et al. 2024 (OT-CLIP), ICML;"
        " normalisation: Cuturi 2013, arXiv 1306.0895"
    )
    licence = "no released code is known"
    blind_to_shift = True

    def loss(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the loss in nats."""
        target = torch.arange(len(logits), device=logits.device)
        return functional.cross_entropy(logits + biases(logits.detach()), target)

    def to_pmi(self, logits: torch.Tensor, batch: int) -> torch.Tensor:
        """Return the logits: at the optimum, in large batches, they are the pointwise mutual
        information plus functions of one side alone.
        """
        return logits


def biases(logits: torch.Tensor) -> torch.Tensor:
    """Return g (B,) with which the softmax of each row of l_ij + g_j gives columns that sum to 1.

    They minimise a convex function. Each round takes Newton's step or Sinkhorn's, whichever leads
    lower: the first ends in a few rounds and may lead anywhere from afar, the second never leads
    up and alone would take hundreds where each image has found its text.
    """
    size = len(logits)
    best = torch.zeros_like(logits[0])
    for _ in range(ROUNDS):
        plan = (logits + best).log_softmax(1)
        sums = plan.logsumexp(0)
        if bool(sums.abs().max() <= 4 * size * torch.finfo(logits.dtype).eps):
            break
        newton, sinkhorn = best + _newton(plan.exp()), best - sums
        # Newton's where no difference can be told, near the end; not where it is not finite.
        lower = _value(logits, newton) <= _value(logits, sinkhorn)
        best = torch.where(lower, newton, sinkhorn)
    return best


def _value(logits: torch.Tensor, of_columns: torch.Tensor) -> torch.Tensor:
    """Return what the biases minimise, a scalar: the loss but for the pairs' own logits."""
    return (logits + of_columns).logsumexp(1).mean() - of_columns.mean()


def _newton(plan: torch.Tensor) -> torch.Tensor:
    """Return Newton's step (B,) from a plan whose rows sum to 1; not finite where there is none."""
    sums = plan.sum(0)
    # One number added to all biases changes nothing: the last term fixes it.
    curvature = sums.diag() - plan.T @ plan + 1 / len(plan)
    return torch.linalg.solve_ex(curvature, 1 - sums)[0]
