"""MINC: its gradient is the spectral loss's, and it reaches what the spectral loss has its least at."""

import copy
import math

import numpy as np
import pytest
import torch

from kbench import objective
from kbench.world import World


def sides(batch=16, width=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(batch, width, generator=generator, dtype=torch.float64, requires_grad=True)
        for _ in range(2)
    ]


def created(width=5, training=True):
    criterion = objective.create("minc")
    criterion.prepare(width)
    return criterion.double().train(training)


def gradients(loss, leaves):
    return torch.autograd.grad(loss, leaves)


def test_with_the_batchs_own_moments_the_gradient_is_that_of_the_spectral_loss():
    """-2 mean l_ii + B^-2 sum_ij l_ij^2, in which a pair is a stranger to itself, too."""
    images, texts = sides()
    logits = images @ texts.T
    spectral = -2 * logits.diagonal().mean() + logits.square().mean()
    expected = gradients(spectral, [images, texts])
    seen = gradients(created().of_features(images, texts), [images, texts])
    for ours, theirs in zip(seen, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_over_many_batches_of_strangers_the_gradient_is_that_of_the_spectral_objective():
    """With moments of another, large batch, the mean gradient is that of strangers alone."""
    images, texts = sides(8)
    others = [side.detach() for side in sides(20_000, seed=1)]
    criterion = created()
    criterion.of_features(*others)
    seen = gradients(criterion.of_features(images, texts), [images, texts])
    pairs = (images * texts).sum(1)
    strangers = (images @ others[1].T).square().mean() + (texts @ others[0].T).square().mean()
    expected = gradients(strangers - 2 * pairs.mean(), [images, texts])
    for ours, theirs in zip(seen, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_moments_are_those_of_the_steps_before():
    criterion, decay = created(), 0.99
    batches = [sides(seed=seed) for seed in range(3)]
    own = [[side.detach().T @ side.detach() / 16 for side in batch] for batch in batches]
    for batch in batches:
        criterion.of_features(*batch)
    for side, buffer in enumerate((criterion.image_moment, criterion.text_moment)):
        first, second, third = (moments[side] for moments in own)
        expected = decay * (decay * first + (1 - decay) * second) + (1 - decay) * third
        torch.testing.assert_close(buffer, expected)
    assert criterion.steps == 3
    # The third loss did not know its own batch.
    again = created()
    again.of_features(*batches[0])
    again.of_features(*batches[1])
    changed = copy.deepcopy(again)
    changed.text_moment += 1
    assert changed.of_features(*batches[2]) != again.of_features(*batches[2])


def test_evaluation_remembers_nothing():
    criterion = created()
    criterion.of_features(*sides())
    before = copy.deepcopy(criterion.state_dict())
    criterion.eval().of_features(*sides(seed=1))
    assert all(torch.equal(criterion.state_dict()[key], value) for key, value in before.items())


def test_moments_are_part_of_a_checkpoint():
    first, second = created(), created()
    first.of_features(*sides())
    second.load_state_dict(first.state_dict())
    batch = sides(seed=1)
    assert torch.equal(first.of_features(*batch), second.of_features(*batch))


@pytest.mark.whole
@pytest.mark.parametrize("dimension", [4, 8])
def test_free_vectors_reach_the_singular_value_decomposition_of_the_density_ratio(dimension):
    """The least spectral risk of rank d is minus the sum of the d largest squared singular values
    of p(a, y) / sqrt(p(a) p(y)) (Eckart and Young); free vectors of the embedded world reach it
    within 1 %.
    """
    world = World()
    joint = torch.tensor(world.p * world.prior[:, None])
    of_scenes, of_captions = joint.sum(1), joint.sum(0)
    values = torch.linalg.svdvals(joint / torch.outer(of_scenes, of_captions).sqrt())
    least = -float(values[:dimension].square().sum())
    torch.manual_seed(0)
    vectors = [torch.nn.Parameter(0.3 * torch.randn(n, dimension)) for n in joint.shape]
    criterion = objective.create("minc").train()
    criterion.prepare(dimension)
    steps, rng = 3000, np.random.default_rng(0)
    optimizer = torch.optim.Adam(vectors, lr=0.03)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.015 * (1 + math.cos(math.pi * step / steps))
        scenes = world.sample_scenes(rng, 1024)
        captions = world.sample_captions(rng, scenes)
        batch = (
            table[torch.from_numpy(i)] for table, i in zip(vectors, (scenes, captions), strict=True)
        )
        optimizer.zero_grad()
        criterion.of_features(*batch).backward()
        optimizer.step()
    with torch.no_grad():
        ratio = (vectors[0] @ vectors[1].T).double()
        strangers = (torch.outer(of_scenes, of_captions) * ratio.square()).sum()
        risk = float(strangers - 2 * (joint * ratio).sum())
    assert least <= risk + 1e-9 and (risk - least) / -least < 0.01


@pytest.mark.whole
def test_gradients_vary_less_than_those_of_the_spectral_loss_where_batches_are_small():
    """At the optimum of rank 8 on the embedded world; moments after 300 steps."""
    world = World()
    joint = torch.tensor(world.p * world.prior[:, None])
    of_scenes, of_captions = joint.sum(1), joint.sum(0)
    left, values, right = torch.linalg.svd(
        joint / torch.outer(of_scenes, of_captions).sqrt(), full_matrices=False
    )
    root = values[:8].sqrt()
    leaves = [
        (left[:, :8] * root / of_scenes.sqrt()[:, None]).requires_grad_(),
        (right[:8].T * root / of_captions.sqrt()[:, None]).requires_grad_(),
    ]
    ratios = {}
    for batch in (16, 64, 256):
        rng, minc, spectral = np.random.default_rng(0), created(8), objective.create("spectral")
        seen = {"minc": [], "spectral": []}
        for step in range(700):
            scenes = world.sample_scenes(rng, batch)
            captions = world.sample_captions(rng, scenes)
            images, texts = leaves[0][scenes], leaves[1][captions]
            losses = {"minc": minc.of_features(images, texts)}
            if step < 300:
                continue
            losses["spectral"] = spectral(images @ texts.T)
            for name, loss in losses.items():
                of_both = torch.autograd.grad(loss, leaves, retain_graph=True)
                seen[name].append(torch.cat([gradient.flatten() for gradient in of_both]))
        variance = {name: float(torch.stack(of).var(0).sum()) for name, of in seen.items()}
        ratios[batch] = variance["minc"] / variance["spectral"]
    assert ratios[16] < 0.5 and ratios[16] < ratios[64] < ratios[256] < 1
