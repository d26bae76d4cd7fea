"""Token-wise late interaction."""

from __future__ import annotations

from kbench.lazily import torch
from kbench.similarity.base import Representation, Similarity
from kbench.similarity.features import RandomFeatures
from kbench.similarity.sets import PointSet, Tokens


class Filip(Similarity):
    """Every token keeps its best match on the other side; these are averaged a side, then over both
    sides.

    A point of weight 0 is absent; weights have no other effect. A set without any point scores 0.
    """

    name = "filip"
    formula = "1/2 mean_i max_j <v_i, t_j> + 1/2 mean_j max_i <v_i, t_j>, unit points"
    source = "Yao et al. 2021, arXiv 2111.07783; both directions averaged, which is kbench's choice"
    licence = "no released code is known"
    takes = Tokens

    def reference(
        self, image: PointSet, text: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return the mean over both sides of the mean best match of each point."""
        v, t = (
            [x / x.norm() for w, x in zip(s.weights[0], s.points[0], strict=True) if w != 0]
            for s in (image, text)
        )
        forward = sum(max(x @ y for y in t) for x in v) / len(v)
        backward = sum(max(x @ y for x in v) for y in t) / len(t)
        return (forward + backward) / 2

    def straightforward(
        self, images: PointSet, texts: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return both directions from all inner products at once, every point there."""
        inner = torch.einsum("bmd,cnd->bcmn", images.unit().points, texts.unit().points)
        return (inner.amax(3).mean(2) + inner.amax(2).mean(2)) / 2

    def pairwise(self, images: Representation, texts: Representation) -> torch.Tensor:
        """Return the scores (B, C)."""
        inner = torch.einsum("bmd,cnd->bcmn", images["points"], texts["points"])
        present = (images["weights"] != 0)[:, None, :, None] & (texts["weights"] != 0)[:, None, :]
        inner = inner.masked_fill(~present, -torch.inf)
        return (_mean_of_best(inner, 3) + _mean_of_best(inner, 2)) / 2


def _mean_of_best(inner: torch.Tensor, other: int) -> torch.Tensor:
    best = inner.amax(other)
    there = best > -torch.inf
    return torch.where(there, best, 0).sum(2) / there.sum(2).clamp(min=1)
