"""Random point sets, tower outputs and draws."""

import torch

from kbench import similarity
from kbench.similarity.sets import PointSet
from kbench.towers.output import TowerOutput

NAMES = [name for name in similarity.names() if not similarity.get(name).has_likelihoods()]
"""Of similarities that compare any sets; others read texts in order, by a decoder."""

WIDTHS = {"image": 12, "text": 10}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def sets(sets, tokens, dim, seed=0, dtype=torch.float64, weight=1.0):
    """Sets of points of about unit norm, with weights of both signs."""
    g = generator(seed)
    points = torch.randn(sets, tokens, dim, generator=g, dtype=dtype) / dim**0.5
    return PointSet(points, weight * torch.randn(sets, tokens, generator=g, dtype=dtype))


def pair(dim=6, dtype=torch.float64):
    """Four image sets of five points and three text sets of two."""
    return sets(4, 5, dim, 1, dtype), sets(3, 2, dim, 2, dtype)


def tower(side, samples=4, tokens=5, dim=6, seed=0):
    """The output of a tower with a random linear projection."""
    width, g = WIDTHS[side], generator(seed)
    matrix = torch.randn(width, dim, generator=g) / width**0.5
    return TowerOutput(
        torch.randn(samples, tokens, width, generator=g, requires_grad=True),
        torch.randn(samples, width, generator=g, requires_grad=True),
        lambda x: x @ matrix,
    )


def draw(similarity, dim=6, number=8, seed=3, dtype=torch.float64, estimator=None):
    return similarity.draw(dim, generator(seed), number=number, dtype=dtype, estimator=estimator)
