"""Weighted point sets with the linear kernel alone."""

from __future__ import annotations

from pydantic import Field

from kbench.lazily import torch
from kbench.similarity.base import Similarity
from kbench.similarity.features import RandomFeatures
from kbench.similarity.scale import PlainScale
from kbench.similarity.sets import PointSet, Side, WeightedTokens
from kbench.similarity.settings import LARGEST, WeightSettings
from kbench.similarity.weighted import PAPER


class WpseLinear(Similarity):
    """mean_ij w_i u_j a1 <v_i, t_j>: the inner product of weighted means of unit vectors."""

    name = "wpse-linear"
    formula = "mean_ij w_i u_j a1 <v_i, t_j>"
    source = PAPER
    licence = "MIT"
    takes = WeightedTokens
    multiplier = PlainScale

    class Settings(WeightSettings):
        """Parameters."""

        a1: float = Field(
            1, gt=0, le=LARGEST, description=f"factor of the linear kernel; {PAPER}, ablation"
        )

    def features(self, sets: PointSet, side: Side, draw: RandomFeatures | None) -> torch.Tensor:
        """Return weighted means (B, d)."""
        return self.settings.a1**0.5 * sets.unit().weighted_mean()

    def reference(
        self, image: PointSet, text: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return mean_ij w_i u_j a1 <v_i, t_j>, pair by pair."""
        total = image.points.new_zeros(())
        for w, v in zip(image.weights[0], image.points[0], strict=True):
            for u, t in zip(text.weights[0], text.points[0], strict=True):
                total = total + w * u * self.settings.a1 * (v @ t) / (v.norm() * t.norm())
        return total / (image.points.shape[1] * text.points.shape[1])

    def straightforward(
        self, images: PointSet, texts: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return products of weighted means of unit points."""
        v, t = ((sets.weights[..., None] * sets.unit().points).mean(1) for sets in (images, texts))
        return self.settings.a1 * v @ t.T
