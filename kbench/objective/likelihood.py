"""Maximum likelihood of each text given its image: no pair is set against another."""

from __future__ import annotations

from kbench.lazily import torch
from kbench.objective.base import Objective


class Likelihood(Objective):
    """-log p(y_i | x_i), for similarities that say how probable a text is, token by token.

    At the optimum p is the distribution of texts given the image, and log p(y | x) - log p(y) is
    PMI itself: that is what such a similarity's scores stand for. Of logits alone it is the loss
    but for the entropy of the texts, which no model changes.
    """

    name = "likelihood"
    formula = "-1/B sum_i log p(y_i | x_i)"
    source = "maximum likelihood; of captions: Vinyals et al. 2015, arXiv 1411.4555, equation 1"
    licence = "kbench's own"
    sees_likelihoods = True

    def of_likelihoods(self, likelihoods: torch.Tensor) -> torch.Tensor:
        """Return the loss in nats a text, of log-likelihoods (B,)."""
        return -likelihoods.mean()

    def loss(self, logits: torch.Tensor) -> torch.Tensor:
        """Return -mean of the diagonal, in nats; it may be negative."""
        return -logits.diagonal().mean()

    def to_pmi(self, logits: torch.Tensor, batch: int) -> torch.Tensor:
        """Return the logits: they are log p(y | x) - log p(y)."""
        return logits
