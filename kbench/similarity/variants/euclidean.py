"""Negative squared distance of embeddings that are not normalised."""

from __future__ import annotations

from kbench.lazily import torch
from kbench.similarity.base import Similarity, mean_point
from kbench.similarity.features import RandomFeatures
from kbench.similarity.sets import PointSet, Pooled, Side


class Euclidean(Similarity):
    """Minus the squared distance of two embeddings, over their dimension d; of several points the
    mean counts.

    The factor 1/d, by which a start at random gives scores of about the size of a cosine, is
    kbench's: the multiplier could learn it but for its bounds.
    """

    name = "euclidean"
    formula = "-|v - t|^2 / d, one pooled point, not normalised"
    source = "Chou and Alam 2024 (EuCLIP), arXiv 2409.13079; the factor 1/d is kbench's"
    licence = "MIT-style"
    largest_score = 0.0
    in_one_space = False
    takes = Pooled

    def features(self, sets: PointSet, side: Side, draw: RandomFeatures | None) -> torch.Tensor:
        """Return (B, d + 2) features: sqrt(2 / d) v, and -|v|^2 / d beside 1, at their places."""
        mean = sets.mean()
        square = -mean.square().mean(1, keepdim=True)
        one = torch.ones_like(square)
        ends = (square, one) if side == "image" else (one, square)
        return torch.cat([(2 / mean.shape[1]) ** 0.5 * mean, *ends], dim=1)

    def reference(
        self, image: PointSet, text: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return minus the squared distance of the means of the points that are there, over d."""
        v, t = mean_point(image), mean_point(text)
        return -(v - t).square().sum() / len(v)

    def straightforward(
        self, images: PointSet, texts: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return minus the squared distances of means over all points, over d."""
        v, t = (sets.points.mean(1) for sets in (images, texts))
        return -(v[:, None] - t).square().mean(2)
