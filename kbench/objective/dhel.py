"""Pairs together, and each modality's own samples apart: no pair meets the strangers across."""

from __future__ import annotations

from kbench.lazily import torch
from kbench.objective.base import without_one_space
from kbench.objective.infonce import InfoNCE
from kbench.similarity.base import Similarity


class Dhel(InfoNCE):
    """Decoupled hyperspherical energy: a pair's own logit, and in the place of the batch's
    strangers the other images for an image, the other texts for a text.

    Of logits alone, as held-out pairs are scored, it is InfoNCE. Nothing makes its logits PMI at
    the optimum: what is measured as the gap holds the price of never comparing across.
    """

    name = "dhel"
    formula = (
        "1/B sum_i [-s<x_i, y_i> + log sum_{j != i} exp(s<x_i, x_j>) + log sum_{j != i}"
        " exp(s<y_i, y_j>)]"
    )
    source = "Koromilas et al. 2024 (DHEL), arXiv 2405.18045, as its released code has it"
    licence = "released without a licence"
    sees_features = True

    def of_features(
        self, images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor | float = 1.0
    ) -> torch.Tensor:
        """Return the loss of features (B, F)."""
        pairs = (scale * (images * texts).sum(1)).mean()
        return _energy(images, scale) + _energy(texts, scale) - pairs

    @classmethod
    def refuse(cls, similarity: type[Similarity]) -> str | None:
        """Return why, if images cannot be compared with images as with texts."""
        return without_one_space(cls, similarity) or super().refuse(similarity)


def _energy(side: torch.Tensor, scale: torch.Tensor | float) -> torch.Tensor:
    """Return the mean of log sum exp of each sample's logits with the others, a scalar; 0 of a
    single one.
    """
    if len(side) == 1:
        return side.sum() * 0.0
    own = torch.eye(len(side), dtype=torch.bool, device=side.device)
    return (scale * side @ side.T).masked_fill(own, -torch.inf).logsumexp(1).mean()
