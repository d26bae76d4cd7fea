"""PMI is the best score there is, up to one constant and nothing else."""

import math

import numpy as np
import pytest

from kbench.world.pmi import infonce, symmetric_infonce


@pytest.fixture(scope="module")
def joint(world):
    """Scene and caption indices of 48 batches of pairs."""
    rng = np.random.default_rng(0)
    scenes = world.sample_scenes(rng, 48 * 256)
    return scenes, world.sample_captions(rng, scenes)


@pytest.fixture(scope="module")
def best(world, joint):
    return infonce(world.pmi, *joint)


PERTURBATIONS = {
    "0.9 times": lambda world, rng: 0.9 * world.pmi,
    "1.1 times": lambda world, rng: 1.1 * world.pmi,
    "noise": lambda world, rng: world.pmi + 0.3 * rng.standard_normal(world.pmi.shape),
    "scene offsets": (
        lambda world, rng: world.pmi + 0.3 * rng.standard_normal((len(world.scenes), 1))
    ),
    "caption offsets": (
        lambda world, rng: world.pmi + 0.3 * rng.standard_normal((1, len(world.captions)))
    ),
    "clipped floor": lambda world, rng: np.maximum(world.pmi, -2),
    "log p(y | a)": lambda world, rng: np.log(world.p),
    "joint probability": lambda world, rng: np.log(world.prior[:, None] * world.p),
    "without mismatches": lambda world, rng: np.log(world.q / (world.prior @ world.q)),
    "density ratio": lambda world, rng: np.exp(world.pmi),
    "another world's captions": lambda world, rng: np.roll(world.pmi, 1, axis=1),
    "zero": lambda world, rng: np.zeros_like(world.pmi),
}


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_no_other_score_has_a_lower_loss(world, joint, best, name):
    scores = PERTURBATIONS[name](world, np.random.default_rng(1))
    assert infonce(scores, *joint) > best + 1e-4


@pytest.mark.parametrize("constant", [-3.0, 0.5, 100.0])
def test_a_constant_changes_nothing(world, joint, best, constant):
    assert infonce(world.pmi + constant, *joint) == pytest.approx(best, abs=1e-9)


def test_size_of_the_loss(world, joint, best):
    # 3.029 over 768,000 pairs; the standard error of 48 batches is 0.016.
    assert best == pytest.approx(3.03, abs=0.05)
    # The loss bounds the mutual information from below, and approaches it as batches grow.
    assert math.log(256) - best < world.mutual_information
    small = infonce(world.pmi, *joint, batch=64)
    assert math.log(64) - small < math.log(256) - best


def test_a_constant_score_costs_the_logarithm_of_the_batch(world, joint):
    assert infonce(np.zeros_like(world.pmi), *joint, batch=100) == pytest.approx(
        math.log(100), abs=1e-12
    )


def test_infonce_against_sums_written_out():
    logits = np.random.default_rng(0).normal(size=(5, 5)) * 3
    total = 0.0
    for i in range(5):
        row = math.exp(logits[i, i]) / sum(math.exp(logits[i, j]) for j in range(5))
        column = math.exp(logits[i, i]) / sum(math.exp(logits[j, i]) for j in range(5))
        total -= (math.log(row) + math.log(column)) / 2
    assert symmetric_infonce(logits) == pytest.approx(total / 5, abs=1e-12)


def test_infonce_does_not_overflow():
    assert symmetric_infonce(np.diag([1e4, 1e4])) == pytest.approx(0, abs=1e-12)


def test_pairs_that_fill_no_batch_are_refused(world):
    with pytest.raises(ValueError, match="10 pairs do not fill one batch of 256"):
        infonce(world.pmi, np.zeros(10, dtype=int), np.zeros(10, dtype=int))
