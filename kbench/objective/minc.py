"""Non-contrastive mutual information: no pair is set against the strangers of its batch."""

from __future__ import annotations

from kbench.lazily import torch
from kbench.objective.base import without_lasting_features
from kbench.objective.spectral import Spectral
from kbench.similarity.base import Similarity

DECAY = 0.99
"""Of the moving averages: they remember a hundred batches or so."""


class Minc(Spectral):
    """The spectral loss with second moments of the features in the place of the batch's strangers.

    E over strangers of (f'g)^2 is f' M_g f with M_g = E[g g'], and the other way round. With moving
    averages of the moments, which no gradient enters, no image meets another pair's caption, and no
    matrix of logits is made. In the mean over pairs of -2 f'g + f' M_g f + g' M_f g each side's
    gradient is that of the spectral loss. The moments of a step are those of the steps before,
    which know nothing of its own pairs; the first step takes its own.
    """

    name = "minc"
    formula = "1/B sum_i [-2 f_i'g_i + f_i'M_g f_i + g_i'M_f g_i], M: moving second moments"
    source = (
        "kbench's two-tower form of MINC, arXiv 2504.16667; spectral loss: HaoChen et al. 2021,"
        " arXiv 2106.04156"
    )
    licence = "no released code is known"
    sees_features = True

    def prepare(self, width: int) -> None:
        """Make room for the moments (F, F) of features of this width."""
        for side in ("image", "text"):
            self.register_buffer(f"{side}_moment", torch.zeros(width, width))
        self.register_buffer("steps", torch.zeros(()))

    def of_features(
        self, images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor | float = 1.0
    ) -> torch.Tensor:
        """Return the loss of features (B, F), and in training remember their moments; the scale is
        shared by the sides.
        """
        images, texts = (scale**0.5 * side for side in (images, texts))
        moments = [side.detach().T @ side.detach() / len(side) for side in (images, texts)]
        first = self.steps == 0
        of_images, of_texts = (
            torch.where(first, new, old.to(new))
            for old, new in zip((self.image_moment, self.text_moment), moments, strict=True)
        )
        if self.training:
            self._remember(moments, first)
        strangers = (images @ of_texts * images).sum(1) + (texts @ of_images * texts).sum(1)
        return (strangers - 2 * (images * texts).sum(1)).mean()

    def _remember(self, moments: list[torch.Tensor], first: torch.Tensor) -> None:
        for old, new in zip((self.image_moment, self.text_moment), moments, strict=True):
            old.copy_(torch.where(first, new.to(old), torch.lerp(new.to(old), old, DECAY)))
        self.steps.add_(1)

    @classmethod
    def refuse(cls, similarity: type[Similarity]) -> str | None:
        """Return why, if the similarity's logits are no inner product of features that stay the
        same from step to step.
        """
        return without_lasting_features(cls, similarity) or super().refuse(similarity)
