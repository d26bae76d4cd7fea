"""InfoNCE with the cyclic consistency of CyCLIP."""

from __future__ import annotations

from kbench.lazily import torch
from kbench.objective.base import without_one_space
from kbench.objective.infonce import InfoNCE
from kbench.similarity.base import Similarity

WEIGHT = 0.25
"""Of both parts of the consistency: cylambda1 and cylambda2 of the released code's commands."""


class CyClip(InfoNCE):
    """InfoNCE, and that two pairs are as similar across as along, and their images as their texts.

    Cross-modal: <x_i, y_j> = <x_j, y_i>. In-modal: <x_i, x_j> = <y_i, y_j>. Of the scores without
    the logit scale. Where PMI is not so, logits at the optimum are not PMI: what is measured as the
    gap holds the price of consistency.
    """

    name = "cyclip"
    formula = "infonce + 1/4 1/B sum_ij [(<x_i, y_j> - <x_j, y_i>)^2 + (<x_i, x_j> - <y_i, y_j>)^2]"
    source = "Goel et al. 2022 (CyCLIP), arXiv 2205.14459"
    licence = "released without a licence"
    sees_features = True

    def of_features(
        self, images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor | float = 1.0
    ) -> torch.Tensor:
        """Return the loss of features (B, F)."""
        across = images @ texts.T
        crossed = (across - across.T).square().sum()
        within = (images @ images.T - texts @ texts.T).square().sum()
        return self.loss(scale * across) + WEIGHT * (crossed + within) / len(images)

    @classmethod
    def refuse(cls, similarity: type[Similarity]) -> str | None:
        """Return why, if images cannot be compared with images as with texts."""
        return without_one_space(cls, similarity) or super().refuse(similarity)
