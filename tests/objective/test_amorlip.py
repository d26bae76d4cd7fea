"""AmorLIP's form here: what its parts are, what its networks learn, and that they reach PMI."""

import math
import os
from pathlib import Path

import pytest
import torch
from test_cyclip import sides

from kbench import objective
from kbench.world import World


def created(width=4, training=True):
    torch.manual_seed(0)
    criterion = objective.create("amorlip")
    criterion.prepare(width)
    return criterion.double().train(training)


def normaliser(logits, row):
    """Return log mean exp over the strangers of a row, as a loop."""
    others = [math.exp(x) for column, x in enumerate(logits[row]) if column != row]
    return math.log(sum(others) / len(others))


def test_the_first_step_takes_its_own_mean_and_its_networks_say_nothing():
    images, texts = sides()
    criterion, batch = created(), 6
    logits = (5 * images @ texts.T).tolist()
    both = (logits, [list(column) for column in zip(*logits, strict=True)])
    targets = [normaliser(side, row) for side in both for row in range(batch)]
    constant = sum(targets) / len(targets)
    expected = sum(2 * (target - constant) ** 2 for target in targets) / len(targets)
    expected += constant - sum(logits[i][i] for i in range(batch)) / batch
    shifted = [logits[i][j] - constant for i in range(batch) for j in range(batch) if i != j]
    expected += sum(math.exp(x) for x in shifted) / len(shifted)
    assert criterion.of_features(images, texts, 5.0).item() == pytest.approx(expected, rel=1e-12)
    assert criterion.constant.item() == pytest.approx(constant, rel=1e-6)


def test_towers_get_no_gradient_through_what_is_fitted():
    """With what the networks say held fast, the towers' gradient is that of the bound alone."""
    images, texts = sides()
    criterion = created(training=False)
    seen = torch.autograd.grad(criterion.of_features(images, texts, 5.0), [images, texts])
    logits = 5 * images @ texts.T
    own = torch.eye(6, dtype=torch.bool)
    targets = [
        side.detach().masked_fill(own, -torch.inf).logsumexp(1) - math.log(5)
        for side in (logits, logits.T)
    ]
    constant = torch.cat(targets).mean()
    bound = (logits - constant).exp().masked_fill(own, 0).sum() / 30 - logits.diagonal().mean()
    for ours, theirs in zip(seen, torch.autograd.grad(bound, [images, texts]), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.skipif("KBENCH_AMORLIP" not in os.environ, reason="KBENCH_AMORLIP names no code")
def test_with_its_normalisers_towers_get_half_the_released_gradient():
    """KBENCH_AMORLIP: a file src/open_clip/loss.py of github haotiansun14/AmorLIP. Its sums over
    the batch are means here, its two halves are added; of pairs among the strangers, which it
    counts with a weight, none are left.
    """
    released = released_classes(os.environ["KBENCH_AMORLIP"])
    images, texts = sides(16, width=8)
    criterion, scale, none = created(width=8, training=False), 9.0, 1e-300
    with torch.no_grad():
        for network in (criterion.of_images, criterion.of_texts):
            network.out.weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
    seen = torch.autograd.grad(criterion.of_features(images, texts, scale), [images, texts])
    collector = released["LogTargetCollector"](pos_coef=0)
    targets = [
        collector(*both, scale, 0.0) - math.log(15) for both in ((images, texts), (texts, images))
    ]
    constant = torch.cat(targets).mean()
    said = {
        f"log_lambda_{name}": constant + network(scale**0.5 * side).detach() + math.log(15)
        for name, network, side in (
            ("image", criterion.of_images, images),
            ("text", criterion.of_texts, texts),
        )
    }
    loss = released["ConditionalExpLoss"](pos_coef=none, lambda_eps=0.0)
    theirs = loss(images, texts, scale, 0.0, said, 0.0)
    for ours, expected in zip(seen, torch.autograd.grad(theirs, [images, texts]), strict=True):
        torch.testing.assert_close(2 * ours, expected)


def released_classes(path):
    """Return the classes and functions of a module that imports two functions of its package."""
    text = Path(path).read_text()
    own = "from open_clip.utils import exp_inner_prod, get_dist_matrix"
    assert own in text
    names = {
        "exp_inner_prod": lambda x, y, mean_exp=True: (
            (x * y).sum(-1).mean() if mean_exp else (x * y).sum(-1)
        ),
        "get_dist_matrix": lambda x, y, scale, logit_bias: scale * x @ y.T + logit_bias,
    }
    exec(compile(text.replace(own, ""), path, "exec"), names)
    return names


def test_networks_learn_the_normalisers_of_fixed_features():
    images, texts = (side.detach() for side in sides(64, width=16))
    criterion = created(width=16)
    optimiser = torch.optim.Adam(criterion.parameters(), 1e-2)
    for _ in range(400):
        optimiser.zero_grad()
        criterion.of_features(images, texts, 5.0).backward()
        optimiser.step()
    logits = 5 * images @ texts.T
    for side, features, network in (
        (logits, images, criterion.of_images),
        (logits.T, texts, criterion.of_texts),
    ):
        target = torch.tensor([normaliser(side.tolist(), row) for row in range(64)])
        said = (criterion.constant + network(5**0.5 * features)).detach()
        residual, spread = (said - target).square().mean(), (target - target.mean()).square().mean()
        assert residual < 0.05 * spread


def test_evaluation_remembers_nothing():
    images, texts = sides()
    criterion = created(training=False)
    criterion.of_features(images, texts, 5.0)
    assert criterion.steps == 0 and criterion.constant == 0


def test_memory_and_networks_are_part_of_the_state():
    first, second = created(), created()
    images, texts = sides()
    first.of_features(images, texts, 5.0)
    second.load_state_dict(first.state_dict())
    losses = [criterion.eval().of_features(images, texts, 3.0) for criterion in (first, second)]
    assert torch.equal(*losses) and second.constant == first.constant != 0


@pytest.mark.whole
def test_free_vectors_learn_pmi_and_its_constant():
    """64 numbers for each scene and caption of the world, trained on its pairs; InfoNCE's are as far
    from PMI within a sixth, and know nothing of the constant.
    """
    world = World()
    torch.manual_seed(0)
    pmi = torch.from_numpy(world.pmi).float()
    joint = torch.from_numpy(world.prior[:, None] * world.p).float()
    scenes, captions = pmi.shape
    width = 64
    images, texts = (
        torch.nn.Parameter(0.3 * torch.randn(count, width)) for count in (scenes, captions)
    )
    criterion = objective.create("amorlip")
    criterion.prepare(width)
    optimiser = torch.optim.Adam([images, texts, *criterion.parameters()], 1e-2)
    generator = torch.Generator().manual_seed(0)
    for step in range(1500):
        optimiser.param_groups[0]["lr"] = 1e-2 * (1 - step / 1500)
        pairs = torch.multinomial(joint.flatten(), 256, replacement=True, generator=generator)
        optimiser.zero_grad()
        criterion.of_features(images[pairs // captions], texts[pairs % captions]).backward()
        optimiser.step()
    learned = criterion.to_pmi((images @ texts.T).detach(), 256)
    error = (joint * (learned - pmi).square()).sum().sqrt()
    spread = (joint * (pmi - (joint * pmi).sum()).square()).sum().sqrt()
    assert error < 0.4 * spread
    assert abs(float((joint * (learned - pmi)).sum())) < 0.2
