"""CLIP's similarity."""

from __future__ import annotations

from kbench.lazily import functional, torch
from kbench.similarity.base import Similarity, mean_point
from kbench.similarity.features import RandomFeatures
from kbench.similarity.sets import EPSILON, PointSet, Pooled, Side


class Cosine(Similarity):
    """The cosine of two embeddings; of several points the mean counts, and a weight of 0 means
    absent.
    """

    name = "cosine"
    formula = "<v, t> / (|v| |t|), one pooled point"
    source = "Radford et al. 2021, arXiv 2103.00020"
    licence = "MIT"
    takes = Pooled
    in_open_clip = True

    def features(self, sets: PointSet, side: Side, draw: RandomFeatures | None) -> torch.Tensor:
        """Return unit embeddings (B, d)."""
        return functional.normalize(sets.mean(), dim=-1, eps=EPSILON)

    def reference(
        self, image: PointSet, text: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return the cosine of the means of the points that are there."""
        v, t = mean_point(image), mean_point(text)
        return v @ t / (v.norm() * t.norm())

    def straightforward(
        self, images: PointSet, texts: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return products of unit means over all points."""
        v, t = (
            functional.normalize(sets.points.mean(1), dim=-1, eps=EPSILON)
            for sets in (images, texts)
        )
        return v @ t.T

    def class_features(self, means: torch.Tensor) -> torch.Tensor:
        """Return unit class embeddings (n, d): normalise, mean, normalise."""
        return functional.normalize(means, dim=-1, eps=EPSILON)
