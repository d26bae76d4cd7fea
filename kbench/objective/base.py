"""What an objective is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from kbench.errors import UserError
from kbench.lazily import Module, torch
from kbench.similarity.base import Similarity


class Objective(Module, ABC):
    """A loss over a batch of logits, learned multiplier times score; computed in float32 under
    autocast.
    """

    name: ClassVar[str]
    formula: ClassVar[str]
    source: ClassVar[str]
    # Of the code that was released with the source, of which kbench uses none.
    licence: ClassVar[str] = ""
    # Whether adding one number to all logits leaves the loss as it is: PMI is then learned up to a
    # constant.
    blind_to_shift: ClassVar[bool] = False
    # Whether the loss is a mean over rows of the logits that no row but its own has a part in.
    by_rows: ClassVar[bool] = False
    # Whether training gives it the features of both sides in the place of logits.
    sees_features: ClassVar[bool] = False
    # Whether training gives it how probable each text is given its image, in the place of logits.
    sees_likelihoods: ClassVar[bool] = False
    # Weight of how far images lie outside their texts' cones, which training adds to its loss.
    cone_weight: ClassVar[float] = 0.0

    def of_rows(self, logits: torch.Tensor, first: int) -> torch.Tensor:
        """Return the mean loss, a scalar, of some rows (R, B) of a batch's logits, in float32 or
        float64; the true pair of row r is in column first + r.

        Only where `by_rows` says so: then no process ever holds all logits of a batch.
        """
        raise TypeError(f"{self.name} needs all logits of a batch at once")

    def prepare(self, width: int) -> None:
        """Get ready for features (B, width), before training and before weights are loaded."""

    def of_features(
        self, images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor | float = 1.0
    ) -> torch.Tensor:
        """Return the loss, a scalar, of features (B, F) of both sides, whose inner products times
        `scale` are the logits, in float32 or float64; row i of both is a pair. In training it may
        remember what it has seen.

        Only where `sees_features` says so; `loss` is then what it stands for, of logits alone, as
        held-out pairs are scored.
        """
        raise TypeError(f"{self.name} is an objective of logits")

    def of_likelihoods(self, likelihoods: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar, of the log-likelihoods (B,) of texts given their images.

        Only where `sees_likelihoods` says so.
        """
        raise TypeError(f"{self.name} is an objective of logits")

    @classmethod
    def needs(cls) -> str:
        """Return in words what it asks for beside logits; '' if nothing."""
        asked = {
            "the features of both sides": cls.sees_features,
            "how probable a text is given its image": cls.sees_likelihoods,
            "texts that have cones": cls.cone_weight > 0,
        }
        return " and ".join(what for what, needed in asked.items() if needed)

    @property
    def logit_bias(self) -> torch.Tensor | None:
        """What is added to the logits, learned, as in SigLIP; None where nothing is."""
        return None

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar, of logits (B, B) with the true pairs on the diagonal."""
        if logits.ndim != 2 or logits.shape[0] != logits.shape[1]:
            raise UserError(f"logits have shape {tuple(logits.shape)}; an objective needs (B, B)")
        with torch.autocast(logits.device.type, enabled=False):
            return self.loss(logits if logits.dtype == torch.float64 else logits.float())

    @abstractmethod
    def loss(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar, of logits (B, B) in float32 or float64."""

    @abstractmethod
    def to_pmi(self, logits: torch.Tensor, batch: int) -> torch.Tensor:
        """Return the pointwise mutual information in nats that logits of any shape stand for at the
        optimum.

        batch: the training batch (all ranks together). Up to one constant if the loss is blind to a
        shift.
        """

    @classmethod
    def refuse(cls, similarity: type[Similarity]) -> str | None:
        """Return why the objective makes no sense with this similarity, or None if it does."""
        if cls.sees_likelihoods == similarity.has_likelihoods():
            return None
        if cls.sees_likelihoods:
            return (
                f"{cls.name} needs a similarity that says how probable a text is, which"
                f" {similarity.name} does not"
            )
        return (
            f"{similarity.name} learns from its pairs alone, and {cls.name} sets them against"
            " others; legal: objective likelihood"
        )


TANGENT_FROM = 20.0


def exponential(values: torch.Tensor) -> torch.Tensor:
    """Return exp(x) up to 20, and from there on its tangent, which is convex and finite."""
    near = values.clamp(max=TANGENT_FROM)
    return near.exp() * (1 + (values - near))


def strangers_mean(values: torch.Tensor) -> torch.Tensor:
    """Return the mean of (B, B) values beside the diagonal; 0 of a single pair."""
    batch = len(values)
    return (values.sum() - values.diagonal().sum()) / max(batch * (batch - 1), 1)


def unreachable(objective: type[Objective], similarity: type[Similarity]) -> str | None:
    """Return why an objective whose logits are PMI itself, without a constant, makes no sense with
    scores that are never positive; None for others.
    """
    if similarity.largest_score > 0:
        return None
    return (
        f"the {objective.name} objective learns PMI without a constant, which pairs have above 0,"
        f" but scores of {similarity.name} are never above {similarity.largest_score:g}"
    )


def without_one_space(objective: type[Objective], similarity: type[Similarity]) -> str | None:
    """Return why an objective that compares images with images makes no sense with a similarity;
    None for those of which it does.
    """
    if reason := without_inner_products(objective, similarity):
        return reason
    if similarity.in_one_space:
        return None
    return (
        f"{objective.name} compares images with images, which features of {similarity.name} cannot"
    )


def without_inner_products(objective: type[Objective], similarity: type[Similarity]) -> str | None:
    """Return why an objective of features makes no sense with scores that are no inner products of
    any; None for others.
    """
    if not similarity.has_features():
        return f"{objective.name} needs explicit features, and {similarity.name} has none"
    if similarity.link is not Similarity.link:
        return (
            f"{objective.name} needs scores that are inner products, and those of"
            f" {similarity.name} are a function of one"
        )
    return None


def without_lasting_features(
    objective: type[Objective], similarity: type[Similarity]
) -> str | None:
    """Return why an objective that learns about features from step to step makes no sense with a
    similarity; None for those of which it does.
    """
    if reason := without_inner_products(objective, similarity):
        return reason
    if similarity.random_features is Similarity.random_features:
        return None
    return (
        f"{objective.name} needs features that stay what they are, and {similarity.name} draws its"
        " random features anew in each step"
    )
