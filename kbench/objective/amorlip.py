"""Normalisers that small networks learn, in the place of those of the batch."""

from __future__ import annotations

import math

from kbench.lazily import Module, nn, torch
from kbench.objective.base import Objective, exponential, strangers_mean, without_lasting_features
from kbench.similarity.base import Similarity

DECAY = 0.99
"""Of the moving average of the logarithmic normaliser: it remembers a hundred batches or so."""


class AmorLip(Objective):
    """The Kullback-Leibler bound with a normaliser for each sample, said by a network of its side.

    log Z(x) is the logarithm of the mean of exp(l) over strangers. A network of a side's features
    says how far it is from c, the moving average of all, and is fitted to what the batches show
    (log-l2); the towers see its word, which no gradient of theirs enters. The batch's own mean
    under a logarithm, which a small batch has too small, is thereby not in the towers' loss.

    At the optimum log Z is the same constant for all samples, and logits are PMI + c. Of logits
    alone, as held-out pairs are scored, it is the bound with c.
    """

    name = "amorlip"
    formula = (
        "-1/B sum_i l_ii + 1/2 sum over sides of mean_{i != j} exp(l_ij - log Z_i)"
        " + mean_i (log Z_i - log mean_{j != i} exp(l_ij))^2"
    )
    source = (
        "kbench's form, with one optimiser and without replayed networks, of AmorLIP (Sun et al."
        " 2025), arXiv 2505.18983"
    )
    licence = "released without a licence"
    sees_features = True

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("constant", torch.zeros(()))
        self.register_buffer("steps", torch.zeros(()))

    def prepare(self, width: int) -> None:
        """Make the networks of features of this width."""
        self.of_images, self.of_texts = Normaliser(width), Normaliser(width)

    def of_features(
        self, images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor | float = 1.0
    ) -> torch.Tensor:
        """Return the loss of features (B, F), and in training remember their normalisers' mean."""
        logits = scale * images @ texts.T
        both = ((logits, images, self.of_images), (logits.T, texts, self.of_texts))
        targets = [_log_normalisers(side.detach()) for side, _, _ in both]
        constant = self._constant(torch.cat(targets).mean())
        loss = -logits.diagonal().mean()
        for (side, features, network), target in zip(both, targets, strict=True):
            said = constant + network((scale**0.5 * features).detach())
            shifted = side - said.detach()[:, None]
            loss = loss + (strangers_mean(exponential(shifted)) + said.detach().mean()) / 2
            loss = loss + (said - target).square().mean()
        return loss

    def _constant(self, seen: torch.Tensor) -> torch.Tensor:
        """Return what the steps before remember, the first step what it sees; in training, see."""
        first = self.steps == 0
        known = torch.where(first, seen, self.constant.to(seen))
        if self.training:
            self.constant.copy_(torch.lerp(seen, known, DECAY))
            self.steps.add_(1)
        return known

    def loss(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the bound of logits with one normaliser for all, in nats; it may be negative."""
        shifted = logits - self.constant
        return strangers_mean(exponential(shifted)) - shifted.diagonal().mean()

    def to_pmi(self, logits: torch.Tensor, batch: int) -> torch.Tensor:
        """Return l - c."""
        return logits - self.constant

    @classmethod
    def refuse(cls, similarity: type[Similarity]) -> str | None:
        """Return why, if the similarity's logits are no inner product of features that stay the
        same from step to step.
        """
        return without_lasting_features(cls, similarity) or super().refuse(similarity)


class Normaliser(Module):
    """How far a sample's logarithmic normaliser is from the average: a residual network of two
    layers as wide as the features, which begins by saying 0.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        layers = [(nn.Linear(width, width), nn.ReLU(), nn.LayerNorm(width)) for _ in range(2)]
        self.hidden = nn.Sequential(*(part for layer in layers for part in layer))
        self.out = nn.Linear(width, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return it (B,) for features (B, F)."""
        return self.out((features + self.hidden(features)).relu()).squeeze(1)


def _log_normalisers(logits: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of each row's mean of exp(l) over strangers (B,); 0 of a single pair."""
    if len(logits) == 1:
        return torch.zeros_like(logits[0])
    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    return logits.masked_fill(own, -torch.inf).logsumexp(1) - math.log(len(logits) - 1)
