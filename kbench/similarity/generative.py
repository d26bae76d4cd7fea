"""Scores from how probable a text is given an image: log p(y | x) less the logarithm of its mean
over images, which is the pointwise mutual information where p is right.
"""

from __future__ import annotations

from abc import abstractmethod
from math import log

from pydantic import Field

from kbench.errors import UserError
from kbench.lazily import functional, nn, torch
from kbench.similarity.base import Representation, Similarity, prompt_shares
from kbench.similarity.features import RandomFeatures
from kbench.similarity.scale import UnitScale
from kbench.similarity.sets import PointSet, Side
from kbench.similarity.settings import Settings


class GenerativeSettings(Settings):
    """What a text's probability without an image is estimated from."""

    background: int = Field(
        256,
        ge=1,
        le=65536,
        description=(
            "training images, the last that were seen, over which p(y | x) is averaged for p(y);"
            " kbench's"
        ),
    )


class GenerativeSimilarity(Similarity):
    """log p(y | x) - log mean over images x' of p(y | x').

    The images x' are the last of training, whose points are part of the weights; before any is
    seen, and within training, which needs no mean, the score is log p(y | x). Classes are scored by
    the likelihood of their prompts, the mean of p(prompt | x).

    points_of_image: how many points an image's representation has.
    """

    symmetric = False
    in_one_space = False
    multiplier = UnitScale
    Settings = GenerativeSettings
    points_of_image: int = 1

    @abstractmethod
    def likelihoods(self, images: torch.Tensor, texts: Representation) -> torch.Tensor:
        """Return log p (B, C), in nats, of every text (C, ...) given every image's points
        (B, P, n).
        """

    @abstractmethod
    def log_likelihoods(self, images: Representation, texts: Representation) -> torch.Tensor:
        """Return what training maximises, (B,), in nats, in float32 or float64."""

    def prepare_decoder(self, embed_dim: int, vocabulary: int, positions: int) -> None:
        """Make room for the points of the images that p(y) is a mean over."""
        self.make_background(self.point_dimension(embed_dim))

    def make_background(self, numbers: int) -> None:
        """Make room for images whose points have so many numbers."""
        room = torch.zeros(self.settings.background, self.points_of_image, numbers)
        self.register_buffer("background", room)
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def remember(self, images: Representation) -> None:
        """Keep the points of the last images, and forget the oldest."""
        points = images["points"].detach().to(self.background)
        self.background.copy_(torch.cat([points, self.background])[: len(self.background)])
        self.seen.add_(len(points)).clamp_(max=len(self.background))

    def prepare(self, sets: PointSet, side: Side) -> PointSet:
        """Return a text as it is, and the one point of an image: of several the mean."""
        if side == "text":
            return sets
        mean = sets.mean().unsqueeze(1)
        return PointSet(mean, mean.new_ones(mean.shape[:2]))

    def representation(
        self, sets: PointSet, side: Side, draw: RandomFeatures | None
    ) -> Representation:
        """Return {"points", "weights", "log_marginal"}, of which the last (B,) is log p(y) of a
        text, and 0 of an image.
        """
        made = super().representation(sets, side, draw)
        return made | {"log_marginal": self.log_marginal(made, side)}

    def log_marginal(self, made: Representation, side: Side) -> torch.Tensor:
        """Return the logarithm of the mean likelihood (C,) over the background's images; 0 where it
        is not asked for, or not known.
        """
        nothing = made["points"].new_zeros(len(made["points"]))
        if side == "image" or self.training or not int(self._prepared().seen):
            return nothing
        known = int(self.seen)
        background = {"points": self.background[:known].to(made["points"])}
        likelihoods = self.in_chunks(self._likelihoods, background, made)
        return likelihoods.logsumexp(0) - log(known)

    def pairwise(self, images: Representation, texts: Representation) -> torch.Tensor:
        """Return log p(y | x) - log p(y), (B, C)."""
        return self._likelihoods(images, texts) - texts["log_marginal"]

    def class_scores(
        self, images: Representation, prompts: Representation, classes: torch.Tensor
    ) -> torch.Tensor:
        """Return the logarithm (B, n) of the mean likelihood of a class's prompts."""
        with torch.autocast(images["points"].device.type, enabled=False):
            likelihoods = self.in_chunks(self._likelihoods, images, prompts)
            logarithms = prompt_shares(classes, like=likelihoods).log()
            each = [(likelihoods + of_class).logsumexp(1) for of_class in logarithms.T]
            return torch.stack(each, dim=1)

    def _likelihoods(self, images: Representation, texts: Representation) -> torch.Tensor:
        return self.likelihoods(images["points"], texts)

    def _prepared(self) -> GenerativeSimilarity:
        """Return itself; UserError before there is a decoder."""
        if "seen" not in self._buffers:
            raise UserError(
                f"{self.name} scores by the decoder of a trained model: points alone do not tell"
                " how probable a text is"
            )
        return self


def applied(layer: nn.Linear, values: torch.Tensor) -> torch.Tensor:
    """Return a linear layer's values in the precision of what it is applied to."""
    return functional.linear(values, layer.weight.to(values), layer.bias.to(values))
