"""Embeddings that are normal distributions: a mean with a variance, learned for each sample."""

from __future__ import annotations

from abc import abstractmethod

from pydantic import Field

from kbench.lazily import functional, nn, torch
from kbench.similarity.base import Similarity, mean_point
from kbench.similarity.features import RandomFeatures
from kbench.similarity.sets import EPSILON, PointSet, Pooled, Side, Widths
from kbench.similarity.settings import Settings
from kbench.towers.output import TowerOutput

REMARK = (
    "one variance for all dimensions, from the pooled embedding, where the released code has one"
    " for each dimension and a part of the tower for it; their sum is all that the score holds."
    " Without the paper's other losses"
)


class PooledGaussian(Pooled):
    """The tower's pooled embedding and the logarithm of its variance, a learned linear function of
    it: one point of d + 1 numbers and of weight 1.
    """

    def __init__(self, settings: VarianceSettings, widths: Widths | None) -> None:
        super().__init__(settings, widths)
        self.log_variances = nn.ModuleDict(
            {side: _log_variance(width, settings) for side, width in (widths or {}).items()}
        )

    def forward(self, output: TowerOutput, side: Side) -> PointSet:
        """Return the set of one point a sample."""
        pooled = self.backbone(output, side)
        mean, log_variance = output.project(pooled), self.log_variances[side](pooled)
        points = torch.cat([mean, log_variance], dim=1).unsqueeze(1)
        return PointSet(points, points.new_ones(points.shape[:2]))


def _log_variance(width: int, settings: VarianceSettings) -> nn.Linear:
    head = nn.Linear(width, 1)
    nn.init.normal_(head.weight, std=width**-0.5)
    nn.init.constant_(head.bias, settings.log_variance)
    return head


class VarianceSettings(Settings):
    """Where variances begin."""

    log_variance: float = Field(
        -10,
        ge=-50,
        le=10,
        description=(
            "logarithm of the variance of a dimension at the start, on average; released code of"
            " ProLIP, arXiv 2410.18857"
        ),
    )


class ProbabilisticSimilarity(Similarity):
    """Scores of two normal distributions, by inner product and variances; of several points the
    mean counts.
    """

    remark = REMARK
    in_one_space = False
    takes = PooledGaussian
    Settings = VarianceSettings

    def features(self, sets: PointSet, side: Side, draw: RandomFeatures | None) -> torch.Tensor:
        """Return (B, d + 2) features: the mean, and its penalty beside 1, at their places."""
        mean, variance = moments(sets.mean())
        location, penalty = self.terms(mean, variance)
        one = torch.ones_like(penalty)
        ends = (penalty, one) if side == "image" else (one, penalty)
        return torch.cat([location, *ends], dim=1)

    @abstractmethod
    def terms(
        self, mean: torch.Tensor, variance: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return, of unit means (B, d) and total variances (B, 1), what the inner product takes
        (B, d), and what either side adds to the score by itself (B, 1).
        """

    @abstractmethod
    def score(
        self, image: torch.Tensor, text: torch.Tensor, variance: torch.Tensor
    ) -> torch.Tensor:
        """Return the score of unit means (..., d) whose total variances have the sum (...)."""

    def point_dimension(self, embed_dim: int) -> int:
        """Return d + 1."""
        return embed_dim + 1

    def reference(
        self, image: PointSet, text: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return the score of the means of the points that are there."""
        means, variance = [], image.points.new_zeros(())
        for point in (mean_point(image), mean_point(text)):
            *mean, log_variance = point.unbind()
            mean = torch.stack(mean)
            means.append(mean / mean.norm().clamp(min=EPSILON))
            variance = variance + sum(log_variance.exp() for _ in mean)
        return self.score(*means, variance)

    def straightforward(
        self, images: PointSet, texts: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return the scores of means over all points, every pair of them written out."""
        (x, of_x), (y, of_y) = (moments(sets.points.mean(1)) for sets in (images, texts))
        return self.score(x[:, None], y[None], of_x + of_y.T)


def moments(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the unit means (B, d) and the total variances (B, 1), over dimensions, of points
    (B, d + 1).
    """
    mean, log_variance = points[:, :-1], points[:, -1:]
    return functional.normalize(mean, dim=1, eps=EPSILON), mean.shape[1] * log_variance.exp()
