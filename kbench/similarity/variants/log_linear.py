"""The logarithm of an inner product of positive features: the control of 'kme-gaussian'."""

from __future__ import annotations

from kbench.lazily import functional, torch
from kbench.similarity.base import mean_point
from kbench.similarity.features import RandomFeatures
from kbench.similarity.logarithm import LogSimilarity
from kbench.similarity.sets import PointSet, Pooled, Side


class LogLinear(LogSimilarity):
    """log of the mean over dimensions of softplus(v) softplus(t): a density ratio of rank d at
    most, without a kernel.
    """

    name = "log-linear"
    formula = "log(1/d sum_k softplus(v_k) softplus(t_k)), one pooled point"
    source = "kbench's control of kme-gaussian; no publication"
    licence = "kbench's own"
    takes = Pooled

    def features(self, sets: PointSet, side: Side, draw: RandomFeatures | None) -> torch.Tensor:
        """Return positive features (B, d)."""
        mean = sets.mean()
        return functional.softplus(mean) / mean.shape[1] ** 0.5

    def reference(
        self, image: PointSet, text: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return the logarithm of the mean product, dimension by dimension."""
        pairs = zip(mean_point(image), mean_point(text), strict=True)
        products = [torch.log1p(v.exp()) * torch.log1p(t.exp()) for v, t in pairs]
        return (sum(products) / len(products)).log()

    def straightforward(
        self, images: PointSet, texts: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return logarithms of products of positive means over all points."""
        v, t = (functional.softplus(sets.points.mean(1)) for sets in (images, texts))
        return (v @ t.T / v.shape[1]).log()
