"""CLIP's similarity."""

import torch
from torch.nn.functional import normalize

from kbench.similarity.base import Similarity
from kbench.similarity.features import RandomFeatures
from kbench.similarity.sets import EPSILON, PointSet, Pooled, Side


class Cosine(Similarity):
    """The cosine of two embeddings; of several points the mean counts, and a weight of 0 means absent."""

    name = "cosine"
    formula = "<v, t> / (|v| |t|), one pooled point"
    source = "Radford et al. 2021, arXiv 2103.00020"
    takes = Pooled

    def features(self, sets: PointSet, side: Side, draw: RandomFeatures | None) -> torch.Tensor:
        """Return unit embeddings (B, d)."""
        return normalize(sets.mean(), dim=-1, eps=EPSILON)

    def class_features(self, means: torch.Tensor) -> torch.Tensor:
        """Return unit class embeddings (n, d): normalise, mean, normalise."""
        return normalize(means, dim=-1, eps=EPSILON)
