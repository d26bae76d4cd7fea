"""Similarities the obvious way, as one would write them down: what the bench compares with.

Each takes points (B, M, d) and weights (B, M) of both sides; autograd keeps every intermediate array.
"""

from collections.abc import Callable

import torch
from torch.nn.functional import normalize

from kbench.similarity.base import Similarity
from kbench.similarity.features import RandomFeatures
from kbench.similarity.sets import EPSILON, PointSet


def scores(similarity: Similarity, draw: RandomFeatures | None) -> Callable[[PointSet, PointSet], torch.Tensor]:
    """Return the function from two batches of sets to scores (B, C)."""
    settings = similarity.settings
    if not hasattr(similarity, "kernel"):
        return FORMS[similarity.name]
    if draw is None:
        return lambda images, texts: _exact_kernel(images, texts, settings.a1, settings.a2, similarity.kernel.value)
    return lambda images, texts: (
        _features(images, settings.a1, settings.a2, draw) @ _features(texts, settings.a1, settings.a2, draw).T
    )


def _features(sets: PointSet, a1: float, a2: float, draw: RandomFeatures) -> torch.Tensor:
    points, weights = _unit(sets), sets.weights[..., None]
    mapped = draw.factor * torch.cos(points @ draw.frequencies.T + draw.phases)
    return torch.cat([a1**0.5 * (weights * points).mean(1), a2**0.5 * (weights * mapped).mean(1)], dim=1)


def _exact_kernel(images: PointSet, texts: PointSet, a1: float, a2: float, kernel: Callable) -> torch.Tensor:
    inner = torch.einsum("bmd,cnd->bcmn", _unit(images), _unit(texts))
    weights = images.weights[:, None, :, None] * texts.weights[:, None, :]
    return (weights * (a1 * inner + a2 * kernel(2 - 2 * inner))).mean((2, 3))


def _linear(images: PointSet, texts: PointSet) -> torch.Tensor:
    means = [(sets.weights[..., None] * _unit(sets)).mean(1) for sets in (images, texts)]
    return means[0] @ means[1].T


def _cosine(images: PointSet, texts: PointSet) -> torch.Tensor:
    means = [normalize(sets.points.mean(1), dim=-1, eps=EPSILON) for sets in (images, texts)]
    return means[0] @ means[1].T


def _late_interaction(images: PointSet, texts: PointSet) -> torch.Tensor:
    inner = torch.einsum("bmd,cnd->bcmn", _unit(images), _unit(texts))
    return (inner.amax(3).mean(2) + inner.amax(2).mean(2)) / 2


def _lorentzian(images: PointSet, texts: PointSet) -> torch.Tensor:
    """Curvature 1, factor d^(-1/2): the state before training."""
    means = [sets.points.mean(1) / sets.points.shape[2] ** 0.5 for sets in (images, texts)]
    x, y = (torch.sinh(v.norm(dim=1, keepdim=True)) / v.norm(dim=1, keepdim=True) * v for v in means)
    x_0, y_0 = (torch.sqrt(1 + space.square().sum(1)) for space in (x, y))
    return -torch.acosh(torch.outer(x_0, y_0) - x @ y.T)


def _unit(sets: PointSet) -> torch.Tensor:
    return normalize(sets.points, dim=-1, eps=EPSILON)


FORMS = {
    "cosine": _cosine,
    "cosine-mean": _cosine,
    "filip": _late_interaction,
    "hyperbolic": _lorentzian,
    "wpse-linear": _linear,
}
