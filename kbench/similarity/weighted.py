"""Similarities of weighted point sets: mean over all pairs of weight, weight and a kernel."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from kbench.lazily import torch
from kbench.similarity import estimators
from kbench.similarity.base import Representation, Similarity
from kbench.similarity.features import RandomFeatures
from kbench.similarity.kernels.base import Kernel
from kbench.similarity.scale import PlainScale
from kbench.similarity.sets import EPSILON, PointSet, Side
from kbench.similarity.settings import KernelSettings

PAPER = "Uesaka et al., arXiv 2404.19228v3"


class KernelSimilarity(Similarity):
    """g(x, y) = mean_ij w_i u_j [a1 <v_i, t_j> + a2 k(v_i, t_j)]; arXiv 2404.19228v3.

    Features: [sqrt(a1) mean_i w_i v_i, sqrt(a2) mean_i w_i phi(v_i)], phi random features of k. A
    variant is one `kernel` and the default parameters.
    """

    Settings: ClassVar[type[KernelSettings]] = KernelSettings
    multiplier = PlainScale

    @property
    @abstractmethod
    def kernel(self) -> Kernel:
        """The kernel k with its width set."""

    @property
    def uses_random_features(self) -> bool:
        """Whether the kernel has a share at all."""
        return self.settings.a2 > 0

    def random_features(
        self,
        number: int | None,
        estimator: str | None,
        dim: int,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return frequencies (D, dim) and phases (D,) by the named estimator."""
        method = estimators.get(estimator or self.settings.estimator)
        return method.draw(self.kernel, number or self.settings.features, dim, generator, dtype)

    def features(
        self, sets: PointSet, side: Side, draw: RandomFeatures | None
    ) -> torch.Tensor | None:
        """Return (B, d + D) features; without a draw (B, d) if the kernel has no share, else
        None.
        """
        if not self.uses_random_features:
            return self.settings.a1**0.5 * sets.unit().weighted_mean()
        if draw is None:
            return None
        # Declares a torch.autograd.Function.
        from kbench.similarity.weighted_means import (
            weighted_means,
        )

        linear, random = weighted_means(sets.points, sets.weights, draw)
        return torch.cat([self.settings.a1**0.5 * linear, self.settings.a2**0.5 * random], dim=1)

    def reference(
        self, image: PointSet, text: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return mean_ij w_i u_j [a1 <v_i, t_j> + a2 k(v_i, t_j)], pair by pair; k by its random
        features if drawn.
        """
        total = image.points.new_zeros(())
        for w, v in zip(image.weights[0], image.points[0], strict=True):
            for u, t in zip(text.weights[0], text.points[0], strict=True):
                v1, t1 = (x / max(float(x.norm()), EPSILON) for x in (v, t))
                total = total + w * u * (
                    self.settings.a1 * (v1 @ t1) + self._reference_kernel(v1, t1, draw)
                )
        return total / (image.points.shape[1] * text.points.shape[1])

    def _reference_kernel(
        self, v: torch.Tensor, t: torch.Tensor, draw: RandomFeatures | None
    ) -> torch.Tensor | float:
        if not self.uses_random_features:
            return 0.0
        if draw is None:
            return self.settings.a2 * self.kernel.value((v - t).square().sum())
        pairs = zip(draw.frequencies, draw.phases, strict=True)
        products = sum(torch.cos(w @ v + b) * torch.cos(w @ t + b) for w, b in pairs)
        return self.settings.a2 * draw.factor**2 * products

    def straightforward(
        self, images: PointSet, texts: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return the scores with every array written out, which automatic differentiation keeps."""
        if draw is None:
            inner = torch.einsum("bmd,cnd->bcmn", images.unit().points, texts.unit().points)
            weights = images.weights[:, None, :, None] * texts.weights[:, None, :]
            kernels = self.settings.a1 * inner + self.settings.a2 * self.kernel.value(2 - 2 * inner)
            return (weights * kernels).mean((2, 3))
        v, t = (self._written_out(sets, draw) for sets in (images, texts))
        return v @ t.T

    def _written_out(self, sets: PointSet, draw: RandomFeatures) -> torch.Tensor:
        points, weights = sets.unit().points, sets.weights[..., None]
        mapped = draw.factor * torch.cos(points @ draw.frequencies.T + draw.phases)
        means = (weights * points).mean(1), (weights * mapped).mean(1)
        return torch.cat(
            [self.settings.a1**0.5 * means[0], self.settings.a2**0.5 * means[1]], dim=1
        )

    def pairwise(self, images: Representation, texts: Representation) -> torch.Tensor:
        """Return the scores (B, C) with the exact kernel."""
        v, t = images["points"], texts["points"]
        linear = PointSet(**images).weighted_mean() @ PointSet(**texts).weighted_mean().T
        squares = v.square().sum(-1)[:, :, None, None] + t.square().sum(-1)
        distances = torch.add(squares, torch.einsum("bmd,cnd->bmcn", v, t), alpha=-2).clamp(min=0)
        kernel = self.kernel.value(distances)
        total = torch.einsum("bm,bmcn,cn->bc", images["weights"], kernel, texts["weights"])
        return self.settings.a1 * linear + self.settings.a2 / (v.shape[1] * t.shape[1]) * total
