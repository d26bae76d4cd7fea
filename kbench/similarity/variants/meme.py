"""Mutually supervised variational autoencoders of images and texts."""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi

from pydantic import Field

from kbench.lazily import Module, functional, nn, torch
from kbench.similarity.base import Representation, mean_point
from kbench.similarity.features import RandomFeatures
from kbench.similarity.generative import GenerativeSettings, GenerativeSimilarity, applied
from kbench.similarity.sets import PointSet, Side, Widths
from kbench.towers.output import TowerOutput

CHANNELS = 3
WIDEST = 10.0
"""Of the logarithm of a variance, either way."""

Say = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""Returns log p (B, K) of what was shown (B, n) given latents (B, K, d)."""


class Encodings(Module):
    """A normal distribution of a sample's latent, and what was shown: one point of d means, d
    logarithms of variances, and the pixels of a small picture or the ids of the tokens after the
    first, -1 after the last and wherever the other side has more numbers.
    """

    needs_tokens = True

    def __init__(self, settings: Meme.Settings, widths: Widths | None) -> None:
        super().__init__()
        self.widths, self.picture = widths, settings.picture

    def prepare(self, embed_dim: int, positions: int) -> None:
        """Make the maps to variances."""
        self.shown = max(CHANNELS * self.picture**2, positions)
        widths = self.widths or {}
        self.log_variances = nn.ModuleDict(
            {side: nn.Linear(width, embed_dim) for side, width in widths.items()}
        )

    def forward(self, output: TowerOutput, side: Side) -> PointSet:
        """Return the set of one point a sample, (B, 1, 2 d + n)."""
        mean, log_variance = output.project(output.pooled), self.log_variances[side](output.pooled)
        # Half precision would round the ids.
        mean = mean if mean.dtype == torch.float64 else mean.float()
        shown = self._picture(output.pixels) if side == "image" else output.next_ids
        shown = functional.pad(shown.to(mean), (0, self.shown - shown.shape[1]), value=-1.0)
        points = torch.cat([mean, log_variance.to(mean), shown], dim=1).unsqueeze(1)
        return PointSet(points, points.new_ones(points.shape[:2]))

    def backbone(self, output: TowerOutput, side: Side) -> torch.Tensor:
        """Return the tower's own pooled embedding (B, width)."""
        return output.pooled

    def _picture(self, pixels: torch.Tensor) -> torch.Tensor:
        return functional.adaptive_avg_pool2d(pixels, self.picture).flatten(1)


class Meme(GenerativeSimilarity):
    """q(y | x) = mean over K latents z_k of image x of q(y | z_k), less its mean over images.

    Encoders give z a normal distribution, of the image and of the text; decoders say a small
    picture (normal, one learned variance) and the words, each position for itself, of z. Training
    maximises the mean of two bounds, one for each side as the other's label:

        E_{q(z|s)} [q(t|z)/q(t|s) log(p(s|z) p(z|t) / (q(z|s) q(t|z)))] + log q(t|s)

    without a gradient of the ratio, and with q(t|s) from the same latents, drawn anew in each step;
    log p(t), which is a constant, is left out. A score takes K latents whose noise is the same for
    all images.
    """

    name = "meme"
    formula = "log q(y|x) - log mean_x' q(y|x'), q(y|x) = mean_k q(y|z_k), z_k of q(z|x)"
    source = "kbench's form of MEME (Joy et al. 2021), arXiv 2106.12570: the paper is of other data"
    licence = "released without a licence"
    remark = (
        "with the likelihood objective alone; a picture of few pixels, words independent given z."
        " The released code has images alone, weighs the divergence of the encodings as a whole, in"
        " closed form, and counts log q(t|s) ten times"
    )
    takes = Encodings

    class Settings(GenerativeSettings):
        """Parameters."""

        samples: int = Field(
            64,
            ge=1,
            le=4096,
            description="latents K of an image that a score is a mean over; kbench's",
        )
        training_samples: int = Field(
            8, ge=1, le=4096, description="latents of a sample in a training step; kbench's"
        )
        hidden: int = Field(256, ge=1, le=16384, description="width of both decoders; kbench's")
        picture: int = Field(
            8, ge=1, le=64, description="side of the picture that is decoded, pixels; kbench's"
        )

    @property
    def points_of_image(self) -> int:
        """As many as it had when it was seen, in training."""
        return self.settings.training_samples

    def point_dimension(self, embed_dim: int) -> int:
        """Return 2 d + n, n being the number of what is shown."""
        return 2 * embed_dim + self._prepared().sets.shown

    def prepare_decoder(self, embed_dim: int, vocabulary: int, positions: int) -> None:
        """Make both decoders."""
        hidden, shown = self.settings.hidden, CHANNELS * self.settings.picture**2
        self.embed_dim, self.positions, self.vocabulary = embed_dim, positions, vocabulary
        self.sets.prepare(embed_dim, positions)
        self.make_background(embed_dim)
        self.before_words, self.before_picture = (nn.Linear(embed_dim, hidden) for _ in range(2))
        self.words = nn.Linear(hidden, positions * vocabulary)
        self.picture = nn.Linear(hidden, shown)
        self.log_deviation = nn.Parameter(torch.zeros(()))

    def representation(
        self, sets: PointSet, side: Side, draw: RandomFeatures | None
    ) -> Representation:
        """Return {"points": latents (B, K, d), "weights", "moments": (B, 2 d), "shown": (B, n),
        "log_marginal"}.
        """
        mean, log_variance, shown = self._parted(sets.mean())
        latents = mean[:, None] + (log_variance / 2).exp()[:, None] * self._noise(mean)
        made = {
            "points": latents,
            "weights": latents.new_ones(latents.shape[:2]),
            "moments": torch.cat([mean, log_variance], dim=1),
            "shown": shown,
        }
        return made | {"log_marginal": self.log_marginal(made, side)}

    def numbers_of_pair(self, images: Representation, texts: Representation) -> int:
        """Return the numbers of a text's positions at each latent, and its part of all words'."""
        part = 1 + self.vocabulary // len(texts["shown"])
        return self.settings.samples * self.positions * part

    def likelihoods(self, images: torch.Tensor, texts: Representation) -> torch.Tensor:
        """Return log q (B, C) of every text given every image's latents (B, K, d)."""
        ids, present = self._ids(texts["shown"])
        places = ids + self.vocabulary * torch.arange(self.positions, device=ids.device)
        said = self._word_logarithms(images).flatten(2)[..., places]
        return _log_mean(torch.where(present, said, 0).sum(-1))

    def log_likelihoods(self, images: Representation, texts: Representation) -> torch.Tensor:
        """Return the mean of both bounds (B,)."""
        with torch.autocast(images["points"].device.type, enabled=False):
            of_images = _bound(images, texts, self._say_picture, self._say_words)
            return (of_images + _bound(texts, images, self._say_words, self._say_picture)) / 2

    def probed(self, sets: PointSet) -> torch.Tensor:
        """Return the means (B, d)."""
        return self._parted(sets.mean())[0]

    def reference(
        self, image: PointSet, text: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return the logarithm of the mean over latents of the product of the words'
        probabilities.
        """
        (mean, log_variance, _), (_, _, shown) = (
            [part[0] for part in self._parted(mean_point(one)[None])] for one in (image, text)
        )
        ids = [int(value.round()) for value in shown[: self.positions]]
        total = 0.0
        for noise in self._noise(mean[None]):
            probabilities = self._word_logarithms(mean + (log_variance / 2).exp() * noise).exp()
            product = mean.new_ones(())
            for of_place, word in zip(probabilities, ids, strict=True):
                product = product * of_place[word % self.vocabulary] if word >= 0 else product
            total = total + product
        return (total / self.settings.samples).log()

    def _parted(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return means (B, d), logarithms of variances (B, d), and what was shown (B, n)."""
        dimension = self._prepared().embed_dim
        mean, log_variance = points[:, :dimension], points[:, dimension : 2 * dimension]
        return mean, log_variance.clamp(-WIDEST, WIDEST), points[:, 2 * dimension :]

    def _noise(self, means: torch.Tensor) -> torch.Tensor:
        """Return standard normal numbers: (B, K, d) in training, else the same (K, d) always."""
        if self.training:
            shape = (len(means), self.settings.training_samples, self.embed_dim)
            return torch.randn(shape, dtype=means.dtype, device=means.device)
        shape = (self.settings.samples, self.embed_dim)
        return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(means)

    def _ids(self, shown: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the ids (B, T) of what was shown of texts, and which of them are there."""
        ids = shown[:, : self.positions].round().long()
        return ids % self.vocabulary, ids >= 0

    def _word_logarithms(self, latents: torch.Tensor) -> torch.Tensor:
        """Return the logarithms (..., T, V) of all words' probabilities given latents (..., d)."""
        hidden = functional.gelu(applied(self.before_words, latents))
        logits = applied(self.words, hidden).unflatten(-1, (self.positions, self.vocabulary))
        return logits.log_softmax(-1)

    def _say_words(self, latents: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
        ids, present = self._ids(shown)
        logarithms = self._word_logarithms(latents)
        places = ids[:, None, :, None].expand(*logarithms.shape[:-1], 1)
        said = logarithms.gather(-1, places).squeeze(-1)
        return torch.where(present[:, None], said, 0).sum(-1)

    def _say_picture(self, latents: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
        painted = applied(self.picture, functional.gelu(applied(self.before_picture, latents)))
        target = shown[:, None, : painted.shape[-1]]
        return _normal(target, painted, 2 * self.log_deviation.to(painted))


def _bound(
    own: Representation, other: Representation, say_own: Say, say_other: Say
) -> torch.Tensor:
    """Return the bound (B,) with the other side as a label, from latents of one's own."""
    latents = own["points"]
    said = say_other(latents, other["shown"])
    known = _log_mean(said)
    ratio = (said - known[:, None]).exp().detach()
    prior, posterior = (_of_moments(latents, side["moments"]) for side in (other, own))
    inner = say_own(latents, own["shown"]) + prior - posterior - said
    return (ratio * inner).mean(1) + known


def _of_moments(latents: torch.Tensor, moments: torch.Tensor) -> torch.Tensor:
    """Return the logarithms of the densities (B, K) of latents (B, K, d)."""
    mean, log_variance = moments[:, None].chunk(2, dim=-1)
    return _normal(latents, mean, log_variance)


def _normal(values: torch.Tensor, mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Return the logarithms of normal densities, summed over the last dimension."""
    squares = (values - mean) ** 2 / log_variance.exp()
    return -(squares + log_variance + log(2 * pi)).sum(-1) / 2


def _log_mean(values: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of the mean of exp over the second dimension."""
    return values.logsumexp(1) - log(values.shape[1])
