"""Kernels within each modality in the place of strangers, and a kernel of each pair."""

from __future__ import annotations

from kbench.lazily import torch
from kbench.objective.base import strangers_mean, without_one_space
from kbench.objective.infonce import InfoNCE
from kbench.similarity.base import Similarity

SHARPNESS = 2.0
"""t of the Gaussian kernel exp(-t |x - y|^2): the released code's."""

WEIGHT = 16.0
"""gamma, of the energies within the modalities: the released code's."""


class Kcl(InfoNCE):
    """Kernel contrastive loss: pairs are near, and each modality's own samples spread out, both as
    a Gaussian kernel of fixed width sees it.

    Its terms are means, so that a small batch estimates the loss of a large one without bias. The
    logit scale has no part in it and stays as it began. Of logits alone, as held-out pairs are
    scored, it is InfoNCE. Nothing makes its logits PMI at the optimum: what is measured as the gap
    holds the price of never comparing across, and of a scale that is not learned.
    """

    name = "kcl"
    formula = (
        "-2/B sum_i k(x_i, y_i) + 16/(B (B - 1)) sum_{i != j} [k(x_i, x_j) + k(y_i, y_j)],"
        " k = exp(-2|x - y|^2)"
    )
    source = "Koromilas et al. 2024 (KCL), arXiv 2405.18045, as its released code has it"
    licence = "released without a licence"
    sees_features = True

    def of_features(
        self, images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor | float = 1.0
    ) -> torch.Tensor:
        """Return the loss of features (B, F)."""
        pairs = (-SHARPNESS * (images - texts).square().sum(1)).exp().mean()
        # The scale's gradient is 0 and not absent: processes that average gradients wait for it.
        return WEIGHT * (_energy(images) + _energy(texts)) - 2 * pairs + 0 * scale

    @classmethod
    def refuse(cls, similarity: type[Similarity]) -> str | None:
        """Return why, if images cannot be compared with images as with texts."""
        return without_one_space(cls, similarity) or super().refuse(similarity)


def _energy(side: torch.Tensor) -> torch.Tensor:
    """Return the mean kernel of each two samples, a scalar; 0 of a single one."""
    squares = side.square().sum(1)
    distances = squares[:, None] + squares - 2 * side @ side.T
    return strangers_mean((-SHARPNESS * distances).exp())
