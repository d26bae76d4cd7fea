"""Level and power of verdicts, simulated: what is said of a true reproduction, and of a difference
that is there.
"""

import numpy as np
import pytest

from kbench.results import reproduction

ROUNDS, N_TEST, TRUE = 20_000, 50_000, 40.0
TOLERANCE = 3 * np.sqrt(0.05 * 0.95 / ROUNDS)
"""Three standard errors of a simulated rate of 5 %."""


def rates(seeds, sd, difference=0.0, margin=1.0, same_images=True):
    """Return how often each outcome is given; theirs is one training, `difference` above ours in
    truth.
    """
    generator = np.random.default_rng(seeds)

    def trainings(*shape):
        """Return accuracies of single trainings on one set of images, percent."""
        return TRUE + sd * generator.normal(size=shape)

    values, theirs = trainings(ROUNDS, seeds), trainings(ROUNDS) + difference
    if not same_images:
        error = np.sqrt(TRUE * (100 - TRUE) / N_TEST)
        values = values + error * generator.normal(size=(ROUNDS, 1))
        theirs = theirs + error * generator.normal(size=ROUNDS)
    one = reproduction.one_run_variance(values, N_TEST)
    images = 0.0 if same_images else 2 * reproduction.image_variance(values, N_TEST)
    apart, variances = values.mean(axis=1) - theirs, (seeds, one / seeds + one, images)
    p = reproduction.p_value(apart, *variances)
    outcomes = reproduction.outcome(apart, p, reproduction.reproduced(apart, margin, *variances))
    return {str(name): float((outcomes == name).mean()) for name in np.unique(outcomes)}


@pytest.mark.parametrize("same_images", [True, False])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_a_true_reproduction_is_called_higher_or_lower_in_at_most_5_percent(seeds, same_images):
    found = rates(seeds, sd=1.0, same_images=same_images)
    assert found.get("higher", 0) + found.get("lower", 0) <= 0.05 + TOLERANCE
    # The test is exact, not merely cautious.
    assert found.get("higher", 0) + found.get("lower", 0) >= 0.03


@pytest.mark.parametrize("sd", [0.1, 0.2, 1.0])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_twice_the_margin_is_called_reproduced_in_at_most_5_percent(seeds, sd):
    assert rates(seeds, sd, difference=2.0).get("reproduced", 0) <= 0.05 + TOLERANCE


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_exactly_the_margin_is_called_reproduced_in_at_most_5_percent(seeds):
    assert rates(seeds, sd=0.2, difference=1.0).get("reproduced", 0) <= 0.05 + TOLERANCE


def test_small_spread_and_several_seeds_can_show_a_reproduction_and_a_difference():
    assert rates(5, sd=0.2)["reproduced"] > 0.9
    assert rates(5, sd=0.2, difference=2.0)["lower"] > 0.9


def test_two_seeds_far_apart_do_not_agree_with_whatever_is_published():
    """Two seeds at 10 and 20 % say nothing about a published 40 %."""
    one = reproduction.one_run_variance(np.array([10.0, 20.0]), 10_000)
    assert not reproduction.reproduced(np.array(-25.0), 1.0, 2, 1.5 * one, 0.0)


@pytest.mark.parametrize("value", [0.0, 100.0])
def test_seeds_that_tie_at_the_end_of_the_scale_have_an_interval(value):
    one = reproduction.one_run_variance(np.full(3, value), 1000)
    assert 0 < reproduction.half_width(0.05, 3, one, 0.0) < 5


def test_the_p_value_is_that_of_student_where_only_trainings_vary():
    from scipy import stats

    expected = stats.ttest_1samp([1.0, 2.5, 4.0, 3.0], 0.0).pvalue
    values = np.array([1.0, 2.5, 4.0, 3.0])
    p = reproduction.p_value(values.mean(), 4, values.var(ddof=1) / 4, 0.0)
    assert p == pytest.approx(expected, rel=1e-9)


def power_table():
    """Return the rates that docs/statistics.md gives."""
    return {
        (seeds, sd): rates(seeds, sd) for sd in (0.1, 0.2, 0.3, 0.5, 1.0) for seeds in (2, 3, 5, 10)
    }


if __name__ == "__main__":
    for (seeds, sd), found in power_table().items():
        print(seeds, sd, {name: round(100 * rate, 1) for name, rate in found.items()})
