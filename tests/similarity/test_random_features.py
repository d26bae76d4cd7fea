"""The weighted mean of random features over tokens: gradients, however it is cut into parts."""

import point_sets
import pytest
import torch

from kbench.similarity import weighted_means as module
from kbench.similarity.features import RandomFeatures
from kbench.similarity.weighted_means import weighted_means


def straightforward(points, weights, draw):
    """The same by autograd, with the features of every token in one array."""
    unit = torch.nn.functional.normalize(points, dim=-1, eps=1e-6)
    mapped = draw.factor * torch.cos(unit @ draw.frequencies.T + draw.phases)
    return (weights[..., None] * unit).mean(1), (weights[..., None] * mapped).mean(1)


@pytest.fixture
def sets():
    sets = point_sets.sets(5, 3, 4)
    return sets.points.requires_grad_(), sets.weights.requires_grad_()


@pytest.fixture
def draw():
    g = point_sets.generator(7)
    return RandomFeatures(
        2 * torch.randn(6, 4, generator=g, dtype=torch.float64), torch.rand(6, generator=g).double()
    )


# One sample has 18 angles: parts of one sample, of two with a rest of one, of all.
PARTS = [1, 40, 1 << 20]


@pytest.fixture(params=PARTS)
def at_a_time(request, monkeypatch):
    monkeypatch.setattr(module, "ANGLES_AT_A_TIME", request.param)


@pytest.fixture(params=[0, 50, 1 << 20])
def kept(request, monkeypatch):
    monkeypatch.setattr(module, "ANGLES_KEPT", request.param)


def gradients(function, sets, draw):
    outputs = function(*sets, draw)
    g = point_sets.generator(1)
    loss = sum((torch.randn(x.shape, generator=g, dtype=x.dtype) * x).sum() for x in outputs)
    return outputs, torch.autograd.grad(loss, [x for x in sets if x.requires_grad])


def test_gradcheck(sets, draw, at_a_time, kept):
    assert torch.autograd.gradcheck(lambda p, w: weighted_means(p, w, draw), sets)


def test_agrees_with_the_straightforward_implementation(sets, draw, at_a_time, kept):
    torch.testing.assert_close(
        gradients(weighted_means, sets, draw),
        gradients(straightforward, sets, draw),
        rtol=1e-12,
        atol=1e-14,
    )


def test_weights_without_gradient(sets, draw):
    sets = sets[0], sets[1].detach()
    torch.testing.assert_close(
        gradients(weighted_means, sets, draw), gradients(straightforward, sets, draw)
    )


def test_points_that_are_not_contiguous(sets, draw):
    points = torch.randn(3, 4, 5, generator=point_sets.generator(), dtype=torch.float64).permute(
        2, 0, 1
    )
    sets = points.requires_grad_(), sets[1]
    torch.testing.assert_close(
        gradients(weighted_means, sets, draw), gradients(straightforward, sets, draw)
    )


def test_points_about_zero(sets, draw):
    with torch.no_grad():
        sets[0][0] *= 1e-9
        sets[0][1] = 0
    torch.testing.assert_close(
        gradients(weighted_means, sets, draw), gradients(straightforward, sets, draw)
    )


def test_backward_twice(sets, draw, kept):
    loss = sum(x.square().sum() for x in weighted_means(*sets, draw))
    first = torch.autograd.grad(loss, sets, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(loss, sets), first, rtol=0, atol=0)


def test_backward_under_autocast(sets, draw):
    single = [x.detach().float().requires_grad_() for x in sets]
    narrow = RandomFeatures(draw.frequencies.float(), draw.phases.float())
    results = []
    for enabled in (False, True):
        loss = sum(x.square().sum() for x in weighted_means(*single, narrow))
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            results.append(torch.autograd.grad(loss, single))
    torch.testing.assert_close(*results, rtol=0, atol=0)
