"""Level, coverage and power of the comparison of two variants, simulated.

`python tests/results/test_pair_levels.py` prints the table of docs/statistics.md.
"""

import itertools
from functools import partial

import numpy as np
import pytest
from scipy import stats

from kbench.results.pairs import estimate

IMAGES = 300
SCENARIOS = {
    "images alone matter": (0.0, 0.0, 1.0),
    "seeds as much as images": (1.0, 1.0, 1.0),
    "seeds far more": (5.0, 5.0, 0.2),
    "one variant's seeds twice as far apart": (2.0, 1.0, 0.5),
}
"""Sd between a variant's seeds, of the first and of the second, in standard errors of the mean over
images; sd between images of what is a variant's own, where that of a single score is 1.
"""


def scored(generator, seeds, images, seed_sds, image_sd, difference=0.0):
    """Return the scores (S, N) of two variants, the first better by `difference`."""
    shared = generator.normal(size=images)
    return tuple(
        ahead
        + shared
        + image_sd * generator.normal(size=images)
        + sd / np.sqrt(images) * generator.normal(size=(seeds, 1))
        + generator.normal(size=(seeds, images))
        for sd, ahead in zip(seed_sds, (difference, 0.0), strict=True)
    )


def right(generator, seeds, images, seed_sd, difference=0.0):
    """Return the same of successes, about 0.7 of all, the first more by about `difference`."""
    shared = generator.normal(size=images)
    chances = []
    for ahead in (difference / 0.16, 0.0):
        logit = 1.0 + ahead + shared + 0.7 * generator.normal(size=images)
        logit = logit + seed_sd * generator.normal(size=(seeds, 1))
        chances.append(generator.random((seeds, images)) < 1 / (1 + np.exp(-logit)))
    return tuple(chance.astype(float) for chance in chances)


def rejected(draw, rounds, test=None):
    """Return the share of rounds in which no difference is rejected at 5 %."""
    test = test or (lambda pair: estimate([pair]).p)
    return float(np.mean([test(draw()) < 0.05 for _ in range(rounds)]))


@pytest.mark.whole
@pytest.mark.parametrize("seeds", [3, 5])
def test_a_true_null_is_rejected_in_3_to_6_and_a_half_percent(seeds):
    generator, rounds, rates = np.random.default_rng(seeds), 5000, {}
    for name, (first, second, image_sd) in SCENARIOS.items():
        rates[name] = rejected(
            lambda of=(first, second), sd=image_sd: scored(generator, seeds, IMAGES, of, sd), rounds
        )
    for seed_sd in (0.0, 0.1, 0.3):
        rates[f"successes, {seed_sd}"] = rejected(
            lambda sd=seed_sd: right(generator, seeds, IMAGES, sd), rounds
        )
    # Three standard errors of the simulation for each of them, none for their mean.
    for name, rate in rates.items():
        assert 0.03 - 0.0072 < rate < 0.065 + 0.0105, name
    assert 0.03 < np.mean(list(rates.values())) < 0.065


@pytest.mark.whole
@pytest.mark.parametrize("seeds", [3, 5])
def test_so_it_is_with_10_000_images(seeds):
    generator = np.random.default_rng(seeds)
    rates = [rejected(lambda: right(generator, seeds, 10_000, 0.05), 1500)]
    rates.append(rejected(lambda: scored(generator, seeds, 10_000, (1.0, 1.0), 1.0), 1500))
    assert 0.03 - 0.0093 < np.mean(rates) < 0.065 + 0.0135


@pytest.mark.whole
@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_cover_a_difference_as_often_as_they_say(seeds):
    generator, rounds = np.random.default_rng(seeds), 2500
    true, covered = 0.3, 0
    for _ in range(rounds):
        result = estimate([scored(generator, seeds, IMAGES, (1.0, 1.0), 1.0, true)])
        covered += result.low <= true <= result.high
    assert 0.935 - 0.0148 < covered / rounds < 0.97 + 0.0102


@pytest.mark.whole
@pytest.mark.parametrize(("seeds", "batches"), [(2, 16), (3, 16), (5, 16), (3, 64), (5, 64)])
@pytest.mark.parametrize("between_seeds", [0.0, 0.5, 2.0])
def test_the_interval_of_a_loss_holds_the_sampling_of_batches(seeds, between_seeds, batches):
    """A variant's own mean over batches of pairs, as beside an excess loss."""
    generator, rounds, true = np.random.default_rng(seeds), 4000, 2.0
    covered = without = 0
    for _ in range(rounds):
        scores = true + generator.normal(size=batches)
        scores = scores + 0.3 * generator.normal(size=(seeds, batches))
        scores += between_seeds / batches**0.5 * generator.normal(size=(seeds, 1))
        result = estimate([(scores, np.zeros_like(scores))], paired=True)
        covered += result.low <= true <= result.high
        of_seeds = scores.mean(axis=1)
        half = stats.t.ppf(0.975, seeds - 1) * of_seeds.std(ddof=1) / np.sqrt(seeds)
        without += abs(of_seeds.mean() - true) <= half
    assert 0.935 < covered / rounds < (0.98 if seeds == 2 else 0.975)
    assert between_seeds == 2.0 or without / rounds < 0.9


def test_two_seeds_reject_no_more_than_they_may():
    generator, rounds = np.random.default_rng(2), 1500
    for draw in (
        lambda: scored(generator, 2, IMAGES, (1.0, 1.0), 1.0),
        lambda: scored(generator, 2, IMAGES, (4.0, 1.0), 0.2),
        lambda: right(generator, 2, IMAGES, 0.3),
    ):
        assert rejected(draw, rounds) <= stats.binom.ppf(0.999, rounds, 0.065) / rounds


@pytest.mark.whole
def test_a_difference_is_found_more_often_than_before():
    generator, rounds = np.random.default_rng(7), 1000
    power, before = (
        rejected(lambda: right(generator, 3, IMAGES, 0.1, 0.08), rounds, test)
        for test in (None, all_error_at_few_degrees)
    )
    assert power > 0.3 and power > before + 0.1


def test_what_is_called_detectable_is_found_four_times_in_five():
    generator, rounds = np.random.default_rng(9), 600
    sizes = [
        estimate([scored(generator, 5, IMAGES, (1.0, 1.0), 1.0)]).error.detectable(0.05)
        for _ in range(rounds)
    ]
    size = float(np.mean(sizes))
    power = rejected(lambda: scored(generator, 5, IMAGES, (1.0, 1.0), 1.0, size), rounds)
    assert 0.72 < power < 0.88


def all_error_at_few_degrees(pair):
    """Return the p-value of release 0.1: seeds paired, all of the error with S - 1 degrees."""
    difference = pair[0] - pair[1]
    seeds, images = difference.shape
    of_images, of_seeds = difference.mean(axis=0), difference.mean(axis=1)
    rest = difference - of_images - of_seeds[:, None] + difference.mean()
    square = (rest**2).sum() / ((seeds - 1) * (images - 1)) / (seeds * images)
    seeds_part, images_part = of_seeds.var(ddof=1) / seeds, of_images.var(ddof=1) / images
    error = np.sqrt(max(seeds_part + images_part - square, seeds_part, images_part))
    return 2 * stats.t.sf(abs(difference.mean()) / error, seeds - 1)


def main():
    generator, rounds = np.random.default_rng(0), 4000
    print("| seeds | images | no difference | 3 points | 5 points |\n|" + "---:|" * 5)
    for seeds, images in itertools.product((2, 3, 5, 10), (300, 2000)):
        cells = []
        for difference in (0.0, 0.03, 0.05):
            draw = partial(right, generator, seeds, images, 0.1, difference)
            both = (rejected(draw, rounds, test) for test in (None, all_error_at_few_degrees))
            cells.append(" / ".join(f"{100 * rate:.1f}" for rate in both))
        print(f"| {seeds} | {images} | {' | '.join(cells)} |", flush=True)
    for seeds in (2, 3):
        draw = partial(scored, generator, seeds, IMAGES, (16.0, 4.0), 0.0)
        print(f"{seeds} seeds, one variant's four times as far apart: {rejected(draw, 20_000):.3f}")


if __name__ == "__main__":
    main()
