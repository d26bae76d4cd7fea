"""A cosine of the text with what it attends to in the image."""

from __future__ import annotations

import math

from pydantic import Field

from kbench.lazily import nn, torch
from kbench.similarity.base import Representation, Similarity, mean_point
from kbench.similarity.features import RandomFeatures
from kbench.similarity.sets import EPSILON, PointSet, Pooled, Side, Tokens, Widths
from kbench.similarity.settings import Settings
from kbench.towers.output import TowerOutput

SHARPEST = 100.0


class TokensForText(Tokens):
    """Every token of an image, and the pooled embedding of a text, as points of weight 1."""

    def __init__(self, settings: Settings, widths: Widths | None) -> None:
        super().__init__(settings, widths)
        self.of_text = Pooled(settings, widths)

    def forward(self, output: TowerOutput, side: Side) -> PointSet:
        """Return the set of an image's tokens, or of the text's one point."""
        return self.of_text(output, side) if side == "text" else super().forward(output, side)

    def backbone(self, output: TowerOutput, side: Side) -> torch.Tensor:
        """Return an image's mean token or a text's embedding (B, width)."""
        taken = self.of_text if side == "text" else super()
        return taken.backbone(output, side)


class Flair(Similarity):
    """cos(t, sum_i a_i v_i), where a = softmax_i(b <v_i, t>) and b is learned.

    A point of weight 0 is absent; weights have no other effect. Of several points of a text the
    mean counts; an image without any point scores 0.
    """

    name = "flair"
    formula = "cos(t, sum_i a_i v_i), a = softmax_i(b <v_i, t>), unit tokens v_i, one text point t"
    source = "Xiao et al. 2024 (FLAIR), arXiv 2412.03561; kbench's derivation"
    licence = "released without a licence"
    remark = (
        "one head with a learned sharpness b, where the released code has eight with layer norms,"
        " projections and an empty token; one caption an image"
    )
    largest_score = 1.0
    symmetric = False
    in_one_space = False
    takes = TokensForText

    class Settings(Settings):
        """Parameters."""

        sharpness: float = Field(
            8,
            ge=1,
            le=SHARPEST,
            description="b at the start, as of a head of 64 dimensions and layer norms; kbench's",
        )

    def __init__(self, settings: Settings, widths: Widths | None = None) -> None:
        super().__init__(settings, widths)
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(settings.sharpness)))

    def prepare(self, sets: PointSet, side: Side) -> PointSet:
        """Return an image's unit points, or the one unit point of a text."""
        if side == "image":
            return sets.unit()
        mean = sets.mean().unsqueeze(1)
        return PointSet(mean, mean.new_ones(mean.shape[:2])).unit()

    def pairwise(self, images: Representation, texts: Representation) -> torch.Tensor:
        """Return the scores (B, C); the attended point itself, (B, C, d), is never made."""
        points, text = images["points"], texts["points"].squeeze(1)
        present = (images["weights"] != 0)[:, None]
        inner = torch.einsum("bmd,cd->bcm", points, text)
        attention = self._attention(inner, present)
        squares = torch.einsum("bcm,bmn,bcn->bc", attention, points @ points.mT, attention)
        return (attention * inner).sum(2) / squares.clamp(min=EPSILON**2).sqrt()

    def reference(
        self, image: PointSet, text: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return the cosine of the text's point and the sum of the image's, each by its share."""
        t = mean_point(text)
        t = t / t.norm().clamp(min=EPSILON)
        pairs = zip(image.weights[0], image.points[0], strict=True)
        points = [v / v.norm().clamp(min=EPSILON) for w, v in pairs if w != 0]
        shares = [(self._sharpness(t) * (v @ t)).exp() for v in points]
        attended = sum(share * v for share, v in zip(shares, points, strict=True)) / sum(shares)
        return attended @ t / attended.norm()

    def straightforward(
        self, images: PointSet, texts: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return the scores with every attended point written out, all points there."""
        points = images.unit().points
        text = torch.nn.functional.normalize(texts.points.mean(1), dim=1)
        inner = torch.einsum("bmd,cd->bcm", points, text)
        attended = (self._sharpness(inner) * inner).softmax(2) @ points
        return torch.nn.functional.cosine_similarity(attended, text[None], dim=2)

    def clamp_(self) -> None:
        """Bring the multiplier and the sharpness back within their bounds."""
        super().clamp_()
        with torch.no_grad():
            self.log_sharpness.clamp_(0.0, math.log(SHARPEST))

    def _attention(self, inner: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Return the share (B, C, M) of each point, 0 of those that are not there."""
        shares = (self._sharpness(inner) * inner).masked_fill(~present, -torch.inf).softmax(2)
        return torch.where(present, shares, 0)

    def _sharpness(self, like: torch.Tensor) -> torch.Tensor:
        return self.log_sharpness.to(like.dtype).exp()
