"""Negative distance in hyperbolic space."""

from __future__ import annotations

import math

from pydantic import Field

from kbench.lazily import nn, torch
from kbench.similarity.base import Representation, Similarity, mean_point
from kbench.similarity.features import RandomFeatures
from kbench.similarity.sets import PointSet, Pooled, Side, Widths
from kbench.similarity.settings import LARGEST, Settings

LARGEST_ARGUMENT = math.asinh(2.0**15)  # of sinh, so that squares stay exact enough in float32
NARROWEST = 0.1
"""K of MERU's cones: the cone of a text nearer to the apex than 2 K is a half space."""


class Hyperbolic(Similarity):
    """MERU's Lorentzian distance, negated; its entailment loss is the objective 'entailment'.

    An embedding v (the mean of the present points of a set) is scaled by a side's learned factor,
    d^(-1/2) at first and at most 1, and lifted onto the hyperboloid of curvature -c by the
    exponential map at its apex, x = sinh(sqrt(c) |v|) v / (sqrt(c) |v|). With x_0 = sqrt(1 / c +
    |x|^2) the distance is arccosh(c (x_0 y_0 - <x, y>)) / sqrt(c). The curvature is learned, within
    a factor of 10 of its start.
    """

    name = "hyperbolic"
    formula = "-arccosh(c (x_0 y_0 - <x, y>)) / sqrt(c), x and y lifted pooled embeddings"
    source = "Desai et al. 2023 (MERU), arXiv 2304.09172, sections 2 and 3"
    licence = "CC BY-NC"
    largest_score = 0.0
    takes = Pooled

    class Settings(Settings):
        """Parameters."""

        curvature: float = Field(
            1, gt=0, le=LARGEST, description="curvature c at the start; MERU, arXiv 2304.09172"
        )

    def __init__(self, settings: Settings, widths: Widths | None = None) -> None:
        super().__init__(settings, widths)
        self.log_curvature_ratio = nn.Parameter(torch.zeros(()))
        self.log_factor = nn.ParameterDict({side: torch.zeros(()) for side in ("image", "text")})

    def prepare(self, sets: PointSet, side: Side) -> PointSet:
        """Return sqrt(c) x of each set, as its one point."""
        mean = sets.mean()
        factor = (self.log_factor[side].to(mean.dtype).exp() * mean.shape[1] ** -0.5).clamp(max=1)
        scaled = self._root_curvature(mean) * factor * mean
        norm = scaled.norm(dim=1, keepdim=True).clamp(min=1e-8)
        lifted = torch.sinh(norm.clamp(max=LARGEST_ARGUMENT)) / norm * scaled
        return PointSet(lifted[:, None], lifted.new_ones(len(lifted), 1))

    def pairwise(self, images: Representation, texts: Representation) -> torch.Tensor:
        """Return the scores (B, C)."""
        x, y = images["points"][:, 0], texts["points"][:, 0]
        x_0, y_0 = (1 + x.square().sum(1)).sqrt(), (1 + y.square().sum(1)).sqrt()
        # cosh(D) - 1 = 2 sinh(D / 2)^2 keeps small distances accurate, where arccosh has no
        # derivative.
        half = (torch.outer(x_0, y_0) - x @ y.T - 1) / 2
        return -_distance(half) / self._root_curvature(x)

    def outside_cones(self, images: Representation, texts: Representation) -> torch.Tensor:
        """Return by how much (B,), in radians, the angle at the text between the apex's prolonged
        direction and the image is more than the half-aperture arcsin(2 K / (sqrt(c) |y|)).

        The angle is that of a hyperbolic triangle of apex, text and image, from its sides; a
        curvature changes lengths and no angle.
        """
        x, y = images["points"][:, 0], texts["points"][:, 0]
        x_0, y_0 = (1 + x.square().sum(1)).sqrt(), (1 + y.square().sum(1)).sqrt()
        across = _distance((x_0 * y_0 - (x * y).sum(1) - 1) / 2)
        to_image, to_text = (_distance((out - 1) / 2) for out in (x_0, y_0))
        largest_sine = 1 - 4 * torch.finfo(y.dtype).eps
        aperture = (2 * NARROWEST / y.norm(dim=1)).clamp(max=largest_sine).asin()
        return (_exterior_angle(to_image, to_text, across) - aperture).relu()

    def reference(
        self, image: PointSet, text: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return minus the distance by arccosh, which the scores avoid."""
        curvature = self._root_curvature(image.points).square()
        lifted = []
        for one, side in ((image, "image"), (text, "text")):
            mean = mean_point(one)
            v = self.log_factor[side].exp() * mean / len(mean) ** 0.5
            root = curvature.sqrt() * v.norm()
            space = torch.sinh(root) / root * v
            lifted.append(((1 / curvature + space @ space).sqrt(), space))
        (x_0, x), (y_0, y) = lifted
        return -torch.acosh(curvature * (x_0 * y_0 - x @ y)) / curvature.sqrt()

    def straightforward(
        self, images: PointSet, texts: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return minus the distances by arccosh, as before training: curvature 1, factor
        d^(-1/2).
        """
        means = [sets.points.mean(1) / sets.points.shape[2] ** 0.5 for sets in (images, texts)]
        x, y = (
            torch.sinh(v.norm(dim=1, keepdim=True)) / v.norm(dim=1, keepdim=True) * v for v in means
        )
        x_0, y_0 = (torch.sqrt(1 + space.square().sum(1)) for space in (x, y))
        return -torch.acosh(torch.outer(x_0, y_0) - x @ y.T)

    def clamp_(self) -> None:
        """Bring the multiplier and the curvature back within their bounds."""
        super().clamp_()
        with torch.no_grad():
            self.log_curvature_ratio.clamp_(-math.log(10), math.log(10))

    def _root_curvature(self, like: torch.Tensor) -> torch.Tensor:
        return (self.settings.curvature * self.log_curvature_ratio.to(like.dtype).exp()).sqrt()


def _distance(half: torch.Tensor) -> torch.Tensor:
    """Return the distance D at curvature -1 from (cosh(D) - 1) / 2, which is sinh(D / 2)^2."""
    return 2 * torch.asinh(half.clamp(min=torch.finfo(half.dtype).eps).sqrt())


def _exterior_angle(
    opposite: torch.Tensor, inner: torch.Tensor, outer: torch.Tensor
) -> torch.Tensor:
    """Return 180 degrees less the angle between two sides of triangles at curvature -1, in radians,
    by the half-angle formula, which needs no arccosine near 1.
    """
    half, least = (opposite + inner + outer) / 2, torch.finfo(opposite.dtype).eps
    sines = [(half - side).clamp(min=least).sinh() for side in (opposite, inner, outer)]
    return 2 * torch.atan2((half.sinh() * sines[0]).sqrt(), (sines[1] * sines[2]).sqrt())
