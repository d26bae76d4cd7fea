"""The symmetric InfoNCE objective of CLIP."""

from __future__ import annotations

from kbench.lazily import functional, torch
from kbench.objective.base import Objective


class InfoNCE(Objective):
    """Mean of the two cross entropies of finding the text of an image and the image of a text in
    the batch.

    Its minimum over all logits is the pointwise mutual information plus a constant that it cannot
    see.
    """

    name = "infonce"
    formula = "-1/(2B) sum_i [log softmax_j(l_ij)_i + log softmax_j(l_ji)_i]"
    source = (
        "van den Oord et al. 2018, arXiv 1807.03748; symmetric: Radford et al. 2021, arXiv"
        " 2103.00020"
    )
    licence = "MIT"
    blind_to_shift = True

    def loss(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the loss in nats."""
        target = torch.arange(len(logits), device=logits.device)
        return (
            functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)
        ) / 2

    def to_pmi(self, logits: torch.Tensor, batch: int) -> torch.Tensor:
        """Return the logits: at the optimum they are the pointwise mutual information plus a
        constant.
        """
        return logits
