"""The logarithm of the inner product of two kernel mean embeddings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kbench.lazily import torch
from kbench.similarity.base import Representation
from kbench.similarity.features import RandomFeatures
from kbench.similarity.kernels.gaussian import Gaussian
from kbench.similarity.logarithm import FLOOR, LogSimilarity
from kbench.similarity.sets import EPSILON, PointSet, WeightedTokens
from kbench.similarity.settings import LARGEST, Settings


class KmeGaussian(LogSimilarity):
    """log mean_ij w_i u_j exp(-|v_i - t_j|^2 / (2 sigma^2)), unit points, positive weights.

    With exact kernels alone: random features are wrong by about 1 / sqrt(D), more than most density
    ratios that the logarithm has to tell apart.
    """

    name = "kme-gaussian"
    formula = "log mean_ij w_i u_j exp(-|v_i - t_j|^2 / (2 sigma^2)), w, u > 0"
    source = "KME-CLIP, arXiv 2510.15508; kbench's derivation"
    licence = "no released code is known"
    remark = (
        "the paper's final form could not be read: positive weights as in wpse-gaussian-positive,"
        " width as in wpse-gaussian, a multiplier of 1 and the exact kernel are kbench's derivation"
    )
    takes = WeightedTokens

    class Settings(Settings):
        """Parameters."""

        sigma: float = Field(
            0.5,
            gt=0,
            le=LARGEST,
            description="width of the Gaussian kernel; that of wpse-gaussian",
        )
        activation: Literal["positive"] = Field(
            "positive", description="100 tanh(softplus(x) / 100); kbench's"
        )

    def pairwise(self, images: Representation, texts: Representation) -> torch.Tensor:
        """Return the inner products (B, C) of the embeddings."""
        v, t = images["points"], texts["points"]
        squares = v.square().sum(-1)[:, :, None, None] + t.square().sum(-1)
        distances = torch.add(squares, torch.einsum("bmd,cnd->bmcn", v, t), alpha=-2).clamp(min=0)
        kernel = Gaussian(self.settings.sigma).value(distances)
        total = torch.einsum("bm,bmcn,cn->bc", images["weights"], kernel, texts["weights"])
        return total / (v.shape[1] * t.shape[1])

    def reference(
        self, image: PointSet, text: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return the logarithm of the mean over pairs of points, pair by pair."""
        total = image.points.new_zeros(())
        for w, v in zip(image.weights[0], image.points[0], strict=True):
            for u, t in zip(text.weights[0], text.points[0], strict=True):
                v1, t1 = (x / max(float(x.norm()), EPSILON) for x in (v, t))
                distance = (v1 - t1).square().sum()
                total = total + w * u * torch.exp(-distance / (2 * self.settings.sigma**2))
        return (total / (image.points.shape[1] * text.points.shape[1])).clamp(min=FLOOR).log()

    def straightforward(
        self, images: PointSet, texts: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return the scores with every array written out, which automatic differentiation keeps."""
        inner = torch.einsum("bmd,cnd->bcmn", images.unit().points, texts.unit().points)
        weights = images.weights[:, None, :, None] * texts.weights[:, None, :]
        kernels = torch.exp((inner - 1) / self.settings.sigma**2)
        return (weights * kernels).mean((2, 3)).clamp(min=FLOOR).log()
