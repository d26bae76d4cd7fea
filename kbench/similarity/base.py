"""What a similarity is, for training, zero-shot, retrieval, the linear probe and `kbench score`
alike.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from kbench.errors import UserError
from kbench.lazily import Module, torch
from kbench.similarity.features import RandomFeatures
from kbench.similarity.scale import LogScale, PlainScale, UnitScale
from kbench.similarity.sets import MeanToken, PointSet, Pooled, Side, Tokens, WeightedTokens, Widths
from kbench.similarity.settings import Settings
from kbench.towers.output import TowerOutput

Representation = dict[str, "torch.Tensor"]
# Numbers in the largest array that pairwise scores make at a time: 128 MiB in float32.
PAIRWISE_NUMBERS = 1 << 25


class Similarity(Module, ABC):
    """Scores g(x, y) of images and texts from weighted point sets; the learned multiplier is kept
    apart.

    A variant says which set it `takes` from a tower, and gives explicit `features` or `pairwise`
    products or both; a score is the `link` of a product, which is that product itself unless a
    variant says another. All scores are computed in float32 under autocast, and in float64 where
    the input is float64.

    licence: of the code that was released with the source, of which kbench uses none.
    in_open_clip: whether open_clip scores in this way, so that its users can load such a model.
    symmetric: whether an image's points and a text's may change places.
    in_one_space: whether features of two images can be compared as those of an image and a text.
    """

    name: ClassVar[str]
    formula: ClassVar[str]
    source: ClassVar[str]
    licence: ClassVar[str] = ""
    remark: ClassVar[str] = ""
    largest_score: ClassVar[float] = float("inf")
    in_open_clip: ClassVar[bool] = False
    symmetric: ClassVar[bool] = True
    in_one_space: ClassVar[bool] = True
    Settings: ClassVar[type[Settings]] = Settings
    takes: ClassVar[type[Pooled] | type[MeanToken] | type[Tokens] | type[WeightedTokens]]
    multiplier: ClassVar[type[LogScale] | type[PlainScale] | type[UnitScale]] = LogScale

    def __init__(self, settings: Settings, widths: Widths | None = None) -> None:
        super().__init__()
        self.settings = settings
        self.sets = self.takes(settings, widths)
        self.scale = self.multiplier()

    # What a variant provides.

    def features(
        self, sets: PointSet, side: Side, draw: RandomFeatures | None
    ) -> torch.Tensor | None:
        """Return explicit features (B, F) whose inner product is the score, but for the link, or
        None where there are none.
        """
        return None

    def prepare(self, sets: PointSet, side: Side) -> PointSet:
        """Return the set that `pairwise` compares: here with points of norm 1."""
        return sets.unit()

    def pairwise(self, images: Representation, texts: Representation) -> torch.Tensor:
        """Return the products (B, C) of representations without explicit features."""
        raise TypeError(f"{self.name} always has explicit features")

    def link(self, products: torch.Tensor) -> torch.Tensor:
        """Return the scores that products stand for, elementwise; a class is scored by the link of
        the mean of its prompts' products.
        """
        return products

    def log_likelihoods(self, images: Representation, texts: Representation) -> torch.Tensor:
        """Return how probable (B,) each text is given its image, or both are, or a bound of it: the
        logarithm, in nats, that training maximises.
        """
        raise TypeError(f"{self.name} does not say how probable a text is")

    def prepare_decoder(self, embed_dim: int, vocabulary: int, positions: int) -> None:
        """Make what depends on the towers' embedding dimension, the number of token ids, and that
        of the tokens that can follow the first, before weights are loaded.

        Only where there are likelihoods.
        """

    def remember(self, images: Representation) -> None:
        """See the images of a training step, those of all processes.

        Only where there are likelihoods.
        """

    def representation(
        self, sets: PointSet, side: Side, draw: RandomFeatures | None
    ) -> Representation:
        """Return explicit features, or else the set that `pairwise` compares."""
        features = self.features(sets, side, draw)
        return dict(vars(self.prepare(sets, side))) if features is None else {"features": features}

    def probed(self, sets: PointSet) -> torch.Tensor:
        """Return what a linear probe sees (B, F) of images' sets without explicit features."""
        return sets.weighted_mean()

    def outside_cones(self, images: Representation, texts: Representation) -> torch.Tensor:
        """Return by how much (B,), in radians, each image is outside what its text entails; 0
        within.
        """
        raise TypeError(f"texts of {self.name} have no cones")

    def class_features(self, means: torch.Tensor) -> torch.Tensor:
        """Return a class's features (n, F) from the means of its prompts' features."""
        return means

    def point_dimension(self, embed_dim: int) -> int:
        """Return how many numbers a point has, for towers with embeddings of `embed_dim`."""
        return embed_dim

    def reference(
        self, image: PointSet, text: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return the score, a scalar, of one image set (1, M, d) with one text set: the formula as
        a plain loop.

        What `kbench conform` and the tests compare the scores with; training and evaluation never
        call it.
        """
        raise NotImplementedError(f"{self.name} has no reference formula")

    def straightforward(
        self, images: PointSet, texts: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return the scores (B, C) the obvious way, as one would write them down: what `kbench
        bench` compares with.

        Without another form it is the reference, pair by pair.
        """
        return torch.stack(
            [torch.stack([self.reference(x, y, draw) for y in _each(texts)]) for x in _each(images)]
        )

    @classmethod
    def has_features(cls) -> bool:
        """Return whether there are explicit features, given a draw if the variant uses random
        ones.
        """
        return cls.features is not Similarity.features

    @classmethod
    def has_cones(cls) -> bool:
        """Return whether a text has a cone, in which the images that it may belong to lie."""
        return cls.outside_cones is not Similarity.outside_cones

    @classmethod
    def needs(cls) -> str:
        """Return in words what it asks of the towers beside pooled embeddings; '' if nothing."""
        asked = {
            "every token": cls.takes.needs_tokens,
            "a text tower whose tokens see none after them": cls.has_likelihoods(),
        }
        return " and ".join(what for what, needed in asked.items() if needed)

    @classmethod
    def has_likelihoods(cls) -> bool:
        """Return whether it says how probable a text is, token by token."""
        return cls.log_likelihoods is not Similarity.log_likelihoods

    @property
    def uses_random_features(self) -> bool:
        """Whether explicit features need a draw."""
        return False

    @property
    def learns_weights(self) -> bool:
        """Whether each point has a weight of its own, learned from its token."""
        return len(getattr(self.sets, "heads", ())) > 0

    def random_features(
        self,
        number: int | None,
        estimator: str | None,
        dim: int,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return frequencies (D, dim) and phases (D,), for variants that use them."""
        raise TypeError(f"{self.name} has no random features")

    # What everything else calls.

    def embed(self, output: TowerOutput, side: Side) -> PointSet:
        """Return the point set (B, M, d) that this similarity takes from a tower's output."""
        return self.sets(output, side)

    def backbone_features(self, output: TowerOutput, side: Side) -> torch.Tensor:
        """Return the features (B, width) 'before projection' for a linear probe."""
        return self.sets.backbone(output, side)

    def draw(
        self,
        dim: int,
        generator: torch.Generator,
        number: int | None = None,
        estimator: str | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
    ) -> RandomFeatures | None:
        """Return random features for points of `dim` dimensions, or None where the similarity uses
        none.

        number, estimator: None takes the training settings'; dtype: None is float32. The generator
        is a CPU one, so that a seed means the same features on every device. UserError for an
        unknown estimator or a number that it cannot make.
        """
        if not self.uses_random_features:
            return None
        drawn = self.random_features(number, estimator, dim, generator, dtype or torch.float32)
        return RandomFeatures(*(x.to(device) for x in drawn))

    def represent(
        self, sets: PointSet, side: Side, draw: RandomFeatures | None = None, check: bool = True
    ) -> Representation:
        """Return what scores are computed from: {"features": (B, F)}, or else {"points",
        "weights"}.

        The exact kernel is meant when a similarity that uses random features gets no draw.
        UserError if the points and the draw differ in dimension, or if a tensor holds NaN or
        infinity; without `check`, which makes the host wait for the device, NaN and infinity go on
        into the scores.
        """
        if draw is not None and draw.frequencies.shape[1] != sets.points.shape[2]:
            raise UserError(
                f"frequencies are for points of {draw.frequencies.shape[1]} dimensions,"
                f" but the {side} points have {sets.points.shape[2]}"
            )
        with _autocast_off(sets.points):
            single = sets.at_least_single()
            representation = self.representation(single, side, draw)
        if check:
            _check_finite(representation, sets, side)
        return representation

    def compare(self, images: Representation, texts: Representation) -> torch.Tensor:
        """Return the scores (B, C) of every image with every text, without the logit scale."""
        with _autocast_off(next(iter(images.values()))):
            return self.link(self.products(images, texts))

    def products(self, images: Representation, texts: Representation) -> torch.Tensor:
        """Return the products (B, C) of every image with every text: scores before the link."""
        _check_dimensions(images, texts)
        with _autocast_off(next(iter(images.values()))):
            if "features" in images:
                return images["features"] @ texts["features"].T
            return self.in_chunks(self.pairwise, images, texts)

    def class_scores(
        self, images: Representation, prompts: Representation, classes: torch.Tensor
    ) -> torch.Tensor:
        """Return the scores (B, n) of images with classes, from P prompts and the class (P,) of
        each.

        A class is the plain mean of its prompts' features, or the mean of their products where
        there are no features.
        """
        share = prompt_shares(classes, like=next(iter(images.values())))
        if "features" in prompts:
            with _autocast_off(share):
                means = self.class_features(share.T @ prompts["features"])
            return self.compare(images, {"features": means})
        with _autocast_off(share):
            return self.link(self.products(images, prompts) @ share)

    def scores(
        self, images: PointSet, texts: PointSet, draw: RandomFeatures | None = None
    ) -> torch.Tensor:
        """Return the scores (B, C) of point sets: by the given random features, or exact without
        any.
        """
        return self.compare(
            self.represent(images, "image", draw), self.represent(texts, "text", draw)
        )

    def logit_scale(self) -> torch.Tensor:
        """Return the learned multiplier of the scores, a scalar."""
        return self.scale()

    def clamp_(self) -> None:
        """Bring learned parameters back within their bounds; called after each optimiser step."""
        self.scale.clamp_()

    def numbers_of_pair(self, images: Representation, texts: Representation) -> int:
        """Return how many numbers `pairwise` makes at a time for each image and text."""
        return images["points"].shape[1] * texts["points"].shape[1]

    def in_chunks(
        self,
        score: Callable[[Representation, Representation], torch.Tensor],
        images: Representation,
        texts: Representation,
    ) -> torch.Tensor:
        """Return the scores (B, C) of a few sets at a time; gradients recompute a chunk rather than
        keep its pairwise arrays.
        """
        pair = self.numbers_of_pair(images, texts)
        columns = _chunks(texts, PAIRWISE_NUMBERS // pair)
        rows = _chunks(images, PAIRWISE_NUMBERS // (pair * len(columns[0]["points"])))
        if torch.is_grad_enabled() and len(rows) * len(columns) > 1:
            score = partial(torch.utils.checkpoint.checkpoint, score, use_reentrant=False)
        return torch.cat(
            [torch.cat([score(row, column) for column in columns], dim=1) for row in rows]
        )


def prompt_shares(classes: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return what part (P, n) each prompt has in each class, from the class (P,) of each; UserError
    if one has none.
    """
    members = torch.nn.functional.one_hot(classes).to(like)
    counts = members.sum(0)
    if not counts.all():
        raise UserError(f"class {int((counts == 0).nonzero()[0])} has no prompt")
    return members / counts


def _chunks(representation: Representation, size: int) -> list[Representation]:
    parts = zip(*(x.split(max(1, size)) for x in representation.values()), strict=True)
    return [dict(zip(representation, part, strict=True)) for part in parts]


def _autocast_off(tensor: torch.Tensor) -> torch.autocast:
    return torch.autocast(tensor.device.type, enabled=False)


def _check_finite(representation: Representation, sets: PointSet, side: Side) -> None:
    # Looking at the small arrays is cheap; only when one is bad are all searched for the cause.
    if all(bool(x.isfinite().all()) for x in (sets.weights, *representation.values())):
        return
    for name, tensor in (*vars(sets).items(), *representation.items()):
        bad = (~tensor.isfinite()).nonzero()
        if len(bad):
            where = tuple(bad[0].tolist())
            raise UserError(
                f"{side}_{name} hold {len(bad)} non-finite values, the first {tensor[where]} at"
                f" {where}"
            )


def _check_dimensions(images: Representation, texts: Representation) -> None:
    if images.keys() != texts.keys():
        raise UserError(f"images come with {', '.join(images)}, but texts with {', '.join(texts)}")
    for name in {"features", "points"} & images.keys():
        ours, theirs = images[name].shape[-1], texts[name].shape[-1]
        if ours != theirs:
            raise UserError(f"image {name} have {ours} dimensions, but text {name} have {theirs}")


def mean_point(single: PointSet) -> torch.Tensor:
    """Return the mean (d,) of the points of one set (1, M, d) that are there, as a plain loop: for
    reference formulas.
    """
    pairs = zip(single.weights[0], single.points[0], strict=True)
    there = [point for weight, point in pairs if weight != 0]
    return sum(there) / len(there)


def _each(batch: PointSet) -> list[PointSet]:
    return [
        PointSet(batch.points[i : i + 1], batch.weights[i : i + 1])
        for i in range(len(batch.points))
    ]
