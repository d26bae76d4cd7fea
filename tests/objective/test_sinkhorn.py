"""The plan of a batch: its margins, its loss where that is known, and what its optimum is."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kbench import objective
from kbench.objective.sinkhorn import biases

JOINT = torch.tensor(
    [[0.20, 0.05, 0.05], [0.02, 0.25, 0.08], [0.10, 0.05, 0.20]], dtype=torch.float64
)


def drawn(size, spread, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(size, size, generator=generator, dtype=dtype)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.floats(0, 12), st.integers(0, 10**6))
@example(25, 9.203125, 5847)  # its value is flat before its columns sum to 1
def test_rows_and_columns_sum_to_one(size, spread, seed):
    logits = drawn(size, spread, seed)
    plan = (logits + biases(logits)).softmax(1)
    torch.testing.assert_close(plan.sum(0), torch.ones_like(plan[0]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("found", [0.0, 5.0, 20.0, 80.0])
def test_pairs_that_are_found_take_no_longer(found):
    """Sinkhorn's rounds alone take hundreds there; the margins are right to float32's last digits."""
    logits = drawn(64, 3.0, dtype=torch.float32) + found * torch.eye(64)
    plan = (logits + biases(logits)).softmax(1)
    assert (plan.sum(0) - 1).abs().max() < 1e-4


def test_of_two_pairs_the_loss_is_that_of_half_the_difference():
    logits = drawn(2, 2.0)
    apart = logits[0, 0] + logits[1, 1] - logits[0, 1] - logits[1, 0]
    expected = -torch.nn.functional.logsigmoid(apart / 2)
    torch.testing.assert_close(objective.create("sinkhorn")(logits), expected)


def test_functions_of_one_side_alone_are_not_seen():
    logits = drawn(7, 3.0)
    moved = logits + drawn(7, 4.0, seed=1)[0] + drawn(7, 4.0, seed=2)[:, :1]
    criterion = objective.create("sinkhorn")
    torch.testing.assert_close(criterion(moved), criterion(logits))


def test_the_gradient_is_the_plan_less_the_pairs():
    logits = drawn(9, 3.0).requires_grad_()
    [slope] = torch.autograd.grad(objective.create("sinkhorn")(logits), logits)
    plan = (logits + biases(logits.detach())).softmax(1)
    torch.testing.assert_close(slope, (plan - torch.eye(9)) / 9)


def test_it_is_no_more_than_either_half_of_infonce():
    for seed in range(5):
        logits = drawn(8, 2.0, seed)
        halves = [-side.log_softmax(1).diagonal().mean() for side in (logits, logits.T)]
        assert objective.create("sinkhorn")(logits) <= min(halves) + 1e-12


def test_the_plan_is_that_of_python_optimal_transport():
    """Of the library POT, where it is installed: costs are minus the logits, both margins even."""
    ot = pytest.importorskip("ot")
    for size, spread in ((2, 1.0), (7, 3.0), (40, 2.0)):
        logits, even = drawn(size, spread), np.full(size, 1 / size)
        plan = size * ot.sinkhorn(even, even, -logits.numpy(), 1.0, numItermax=10**5, stopThr=1e-14)
        expected = -np.log(plan.diagonal()).mean()
        assert objective.create("sinkhorn")(logits).item() == pytest.approx(expected, rel=1e-6)


def slope_at_optimum(batch, batches):
    """Return how many times PMI's differences the logits' are where the mean loss is least.

    All batches of pairs from a world of three by three where `batches` is None, else so many drawn.
    """
    pmi = (JOINT / torch.outer(JOINT.sum(1), JOINT.sum(0))).log()
    if batches is None:
        cells = np.array(list(itertools.product(range(9), repeat=batch)))
        chance = JOINT.flatten()[cells].prod(1)
    else:
        generator = np.random.default_rng(0)
        cells = generator.choice(9, size=(batches, batch), p=JOINT.flatten().numpy())
        chance = torch.full((batches,), 1 / batches, dtype=torch.float64)
    rows, columns = torch.as_tensor(cells // 3), torch.as_tensor(cells % 3)
    table = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    criterion = objective.create("sinkhorn")
    optimiser = torch.optim.LBFGS([table], max_iter=60, line_search_fn="strong_wolfe")

    def expected_loss():
        optimiser.zero_grad()
        each = table[rows[:, :, None], columns[:, None, :]]
        loss = sum(p * criterion(x) for p, x in zip(chance, each, strict=True))
        loss.backward()
        return loss

    optimiser.step(expected_loss)
    ours, theirs = (centred(values) for values in (table.detach(), pmi))
    return float((ours * theirs).sum() / theirs.square().sum())


def centred(values):
    return values - values.mean(0) - values.mean(1, keepdim=True) + values.mean()


@pytest.mark.whole
def test_pmi_is_the_optimum_of_large_batches_and_half_of_it_for_two_pairs():
    assert slope_at_optimum(2, None) == pytest.approx(2, abs=1e-3)
    large = [slope_at_optimum(batch, 200) for batch in (8, 64)]
    assert 1 < large[1] < large[0] < 2
