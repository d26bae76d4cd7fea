"""The classifier that scores imply: never wrong where its gap is below the margin, wrong where it
reaches it, and with PMI itself as right as the world allows.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from score_table import of_table

from kbench import objective, similarity, tasks
from kbench.evaluate import store
from kbench.measures import implied
from kbench.tasks.implied_classes import ATTRIBUTES
from kbench.world import World

TASK = tasks.get("implied_classes")


@pytest.fixture(scope="module")
def world():
    return World()


def tables(seed, spread, captions=40):
    """Return PMI and scores that are off it by `spread` nats, (30, captions), what the captions
    name among five classes, and the class that PMI prefers.
    """
    generator = torch.Generator().manual_seed(seed)
    pmi = 2 * torch.randn(30, captions, generator=generator, dtype=torch.float64)
    scores = pmi + spread * torch.randn(pmi.shape, generator=generator, dtype=torch.float64)
    named = torch.randint(-1, 5, (captions,), generator=generator)
    named[:5] = torch.arange(5)
    return pmi, scores, named, implied.class_shares(pmi, named, 5).argmax(1)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**32), st.floats(0.01, 5))
def test_no_image_is_wrong_with_a_gap_below_its_margin(seed, spread):
    pmi, scores, named, truth = tables(seed, spread)
    wrong = implied.wrong(implied.class_shares(scores, named, 5), truth)
    gap, margin = (
        implied.gaps(scores, pmi),
        implied.margins(implied.class_shares(pmi, named, 5), truth),
    )
    assert (margin > 0).all()
    assert (gap[wrong] >= margin[wrong] - 1e-12).all()
    most = implied.at_most(gap, margin)
    assert wrong.double().mean() <= most.mean() + 1e-12 and (most <= 1).all()


def test_the_random_scores_are_sometimes_wrong_and_the_bound_then_says_something():
    pmi, scores, named, truth = tables(0, 0.5)
    wrong = implied.wrong(implied.class_shares(scores, named, 5), truth).double().mean()
    shares = implied.class_shares(pmi, named, 5)
    most = implied.at_most(implied.gaps(scores, pmi), implied.margins(shares, truth)).mean()
    assert 0 < wrong < most < 1


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32))
def test_the_margin_is_the_least_gap_that_makes_an_image_wrong(seed):
    pmi, _, named, truth = tables(seed, 0.0)
    shares = implied.class_shares(pmi, named, 5)
    rival = shares.scatter(1, truth[:, None], -1).argmax(1)
    both = torch.stack([truth, rival], 1)
    mean = shares.gather(1, both).mean(1, keepdim=True)
    # Captions of the two classes are made as probable together, all others left as they are.
    factors = torch.ones(30, 6, dtype=torch.float64)
    factors.scatter_(1, both + 1, mean / shares.gather(1, both))
    scores = pmi.log_softmax(1) + factors.log()[:, named + 1]
    gap, margin = implied.gaps(scores, pmi), implied.margins(shares, truth)
    # The rival with the largest share is the cheapest one.
    torch.testing.assert_close(gap, margin, atol=1e-9, rtol=1e-9)


def test_probabilities_of_classes_are_sums_over_the_captions_that_name_them():
    scores = torch.log(torch.tensor([[1.0, 2, 3, 4]], dtype=torch.float64))
    shares = implied.class_shares(scores, torch.tensor([1, -1, 0, 1]), 3)
    torch.testing.assert_close(shares, torch.tensor([[0.3, 0.5, 0.0]], dtype=torch.float64))
    assert implied.wrong(shares, torch.tensor([1])).tolist() == [False]
    assert implied.wrong(shares, torch.tensor([0])).tolist() == [True]
    # PMI that prefers another class leaves no margin, and nothing is promised.
    assert implied.margins(shares, torch.tensor([0])).tolist() == [0]
    assert implied.at_most(torch.zeros(1), torch.zeros(1)).tolist() == [1]


def test_equal_shares_count_against_the_true_class():
    shares = torch.tensor([[0.4, 0.4, 0.2]], dtype=torch.float64)
    assert implied.wrong(shares, torch.tensor([0])).tolist() == [True]


def scored(folder, world, logits, pairs=2000):
    run, features = of_table(folder, world, objective.create("infonce"), logits, 64, pairs)
    with torch.inference_mode():
        return TASK.score(run, features, None, device="cpu")


def test_pmi_has_no_gap_and_names_what_every_image_shows(world, tmp_path):
    outcome = scored(tmp_path, world, torch.from_numpy(world.pmi) + 1.5)
    assert outcome.values["gap"][0] == pytest.approx(0, abs=1e-12)
    for attribute in ATTRIBUTES:
        assert outcome.values[f"{attribute}_error"] == [0]
        assert outcome.values[f"{attribute}_bound"][0] < 1e-9


def test_scores_without_information_are_at_chance_and_nothing_is_promised(world, tmp_path):
    outcome = scored(tmp_path, world, torch.zeros(world.pmi.shape, dtype=torch.float64))
    # The same captions for every image: right where the class that most captions name is shown.
    names = [words.get("colour") for words in world.named_words]
    assert outcome.values["gap"][0] > 1
    assert 0.3 < outcome.values["colour_error"][0] < 0.9 and "white" in names
    assert outcome.values["colour_bound"] == [1]


def test_metrics_are_means_of_what_is_kept(world, tmp_path):
    noise = torch.randn(world.pmi.shape, generator=torch.Generator().manual_seed(0))
    outcome = scored(tmp_path, world, torch.from_numpy(world.pmi) + noise.double())
    for measure in TASK.metrics:
        if measure.samples:
            kept = measure.samples(outcome.arrays)
            assert len(kept) == outcome.n_test
            assert kept.mean() == pytest.approx(outcome.values[measure.name][0])
    assert (outcome.arrays["class_errors"] <= outcome.arrays["class_bounds"] + 1e-9).all()
    assert outcome.arrays["class_errors"].max() > 0
    assert len(outcome.arrays["class_errors"]) == 16 + 7 + 2 + 4


def test_the_part_of_a_report_shows_errors_against_bounds(world, tmp_path):
    outcome = scored(tmp_path, world, torch.from_numpy(0.7 * world.pmi))
    [scatter] = TASK.part({"cosine": outcome.arrays}).figures
    [(bounds, errors)] = scatter.points.values()
    assert np.array_equal(bounds, outcome.arrays["class_bounds"]) and (errors <= 100).all()
    assert TASK.part({}).figures == ()


@pytest.mark.parametrize("variant", ["cosine", "wpse-gaussian", "filip"])
def test_a_run_is_scored_at_each_draw(random_runs, variant):
    evaluation, run_of = random_runs
    run = run_of(variant)
    with torch.inference_mode():
        outcome = TASK.score(
            run, store.Reader(run.features("world-pairs")), evaluation, device="cpu"
        )
    draws = 2 if similarity.create(variant).uses_random_features else 1
    for attribute in ATTRIBUTES:
        errors, bounds = (outcome.values[f"{attribute}_{name}"] for name in ("error", "bound"))
        assert len(errors) == draws and all(e <= b for e, b in zip(errors, bounds, strict=True))
    assert set(outcome.values) == {measure.name for measure in TASK.metrics}
