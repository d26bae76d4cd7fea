"""Weighted point sets, and which one a similarity takes from a tower."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypedDict

from kbench.errors import UserError
from kbench.lazily import Module, functional, nn, torch
from kbench.similarity.settings import Settings
from kbench.towers.output import Side, TowerOutput

EPSILON = 1e-6


class Widths(TypedDict):
    """Width of the tokens that each tower hands over."""

    image: int
    text: int


@dataclass(frozen=True)
class PointSet:
    """A batch of weighted point sets: points (B, M, d), weights (B, M); UserError if these do not
    fit.
    """

    points: torch.Tensor
    weights: torch.Tensor

    def __post_init__(self) -> None:
        points, weights = tuple(self.points.shape), tuple(self.weights.shape)
        if len(points) != 3 or 0 in points[1:]:
            raise UserError(
                f"points have shape {points}; legal: (sets, points, d), points and d at least 1"
            )
        if weights != points[:2]:
            raise UserError(
                f"weights have shape {weights}, but points {points} ask for {points[:2]}"
            )

    def at_least_single(self) -> PointSet:
        """Return the set in float32, or as it is if that is float64."""
        return PointSet(
            *(x if x.dtype == torch.float64 else x.float() for x in (self.points, self.weights))
        )

    def unit(self) -> PointSet:
        """Return the set with every point divided by max(|point|, 1e-6)."""
        return PointSet(functional.normalize(self.points, dim=-1, eps=EPSILON), self.weights)

    def weighted_mean(self) -> torch.Tensor:
        """Return the mean (B, d) over all points of weight times point."""
        return torch.einsum("bm,bmd->bd", self.weights, self.points) / self.points.shape[1]

    def mean(self) -> torch.Tensor:
        """Return the mean (B, d) of the points that are there: those whose weight is not 0."""
        present = (self.weights != 0).to(self.points.dtype)
        total = torch.einsum("bm,bmd->bd", present, self.points)
        return total / present.sum(1, keepdim=True).clamp(min=1)


class Pooled(Module):
    """The tower's own pooled embedding, as one point of weight 1."""

    needs_tokens: ClassVar[bool] = False

    def __init__(self, settings: Settings, widths: Widths | None) -> None:
        super().__init__()

    def forward(self, output: TowerOutput, side: Side) -> PointSet:
        """Return the set of one point a sample."""
        points = output.project(self.backbone(output, side)).unsqueeze(1)
        return PointSet(points, points.new_ones(points.shape[:2]))

    def backbone(self, output: TowerOutput, side: Side) -> torch.Tensor:
        """Return the embedding (B, width) before projection."""
        return output.pooled


class MeanToken(Pooled):
    """The mean of all token embeddings, as one point of weight 1."""

    needs_tokens = True

    def backbone(self, output: TowerOutput, side: Side) -> torch.Tensor:
        """Return the mean token (B, width); projection is linear, so it may follow the mean."""
        return output.tokens.mean(1)


class Tokens(MeanToken):
    """Every token as a point of weight 1."""

    def forward(self, output: TowerOutput, side: Side) -> PointSet:
        """Return the set of all tokens."""
        return PointSet(
            output.project(output.tokens), output.tokens.new_ones(output.tokens.shape[:2])
        )


# The signed form: released code of arXiv 2404.19228. The positive one is kbench's own, for the
# ablation.
ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "signed": lambda x: 100 * torch.tanh(x / 100),
    "positive": lambda x: 100 * torch.tanh(functional.softplus(x) / 100),
}


class WeightedTokens(Module):
    """Every token as a point, its weight a bounded function of a learned linear one of the
    token.
    """

    needs_tokens: ClassVar[bool] = True

    def __init__(self, settings: Settings, widths: Widths | None) -> None:
        super().__init__()
        self.activation = settings.activation
        learned = widths is not None and self.activation != "uniform"
        self.heads = nn.ModuleDict(
            {side: _head(width) for side, width in widths.items()} if learned else {}
        )

    def forward(self, output: TowerOutput, side: Side) -> PointSet:
        """Return the set of all tokens with their weights."""
        return PointSet(output.project(output.tokens), self._weights(output.tokens, side))

    def backbone(self, output: TowerOutput, side: Side) -> torch.Tensor:
        """Return the mean over tokens of weight times token, (B, width)."""
        weights = self._weights(output.tokens, side).to(output.tokens.dtype)
        return torch.einsum("bm,bmw->bw", weights, output.tokens) / output.tokens.shape[1]

    def _weights(self, tokens: torch.Tensor, side: Side) -> torch.Tensor:
        if self.activation == "uniform":
            return tokens.new_ones(tokens.shape[:2])
        logits = self.heads[side](tokens).squeeze(-1)
        return ACTIVATIONS[self.activation](
            logits if logits.dtype == torch.float64 else logits.float()
        )


def _head(width: int) -> nn.Linear:
    head = nn.Linear(width, 1, bias=False)
    nn.init.normal_(head.weight, std=width**-0.5)
    return head
