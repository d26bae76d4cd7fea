"""Statistics over several datasets: against their definitions, other libraries, and simulations."""

import itertools

import numpy as np
import pytest
from scipy import stats
from synthetic import CLASSIFICATION, write_experiment

from kbench.report import content
from kbench.report.analysis import Analysis
from kbench.results import datasets, store, table

SETS = (*CLASSIFICATION, "world-digits", "cifar10", "dtd")


def made(variants=3, seeds=4, count=6, seed=0):
    generator = np.random.default_rng(seed)
    return {f"v{i}": generator.normal(i / 4, 1, (seeds, count)) for i in range(variants)}


def test_ranks_are_means_over_datasets_and_ties_share():
    scores = {
        "a": np.array([[3.0, 2, 1]]),
        "b": np.array([[1.0, 2, 0]]),
        "c": np.array([[2.0, 2, 2]]),
    }
    assert datasets.mean_ranks(scores) == {"a": 5 / 3, "b": 8 / 3, "c": 5 / 3}


def test_wins_are_counted_pair_by_pair():
    scores = made(2, 3, 5)
    [beats] = [one.beats for one in datasets.overall(scores, "v0") if one.group == "v1"]
    expected = np.mean(
        [
            (ours[d] > theirs[d]) + (ours[d] == theirs[d]) / 2
            for ours, theirs in itertools.product(scores["v1"], scores["v0"])
            for d in range(5)
        ]
    )
    assert beats.value == pytest.approx(expected)
    assert beats.low < beats.value < beats.high


def resampled(table, draws):
    """Return resamples (R, S, D) of scores (S, D)."""
    trainings, of_datasets = draws
    return table[trainings[:, :, None], of_datasets[:, None, :]]


def test_wins_of_resamples_are_those_of_resampled_scores():
    """The sums over counts are what counting in each resample gives."""
    scores = made(2, 3, 5)
    draws = datasets._draws({group: scores[group].shape for group in scores})
    ours, theirs = (resampled(scores[g], draws[g]) for g in ("v1", "v0"))
    direct = [(a[:, None] > b[None]).mean() for a, b in zip(ours, theirs, strict=True)]
    shares = {g: tuple(map(datasets._shares, draws[g], scores[g].shape)) for g in scores}
    beaten = datasets._beaten(scores, shares, "v1", "v0")
    assert (beaten.low, beaten.high) == pytest.approx(tuple(np.quantile(direct, (0.025, 0.975))))


@pytest.mark.parametrize("shape", [(1, 5), (2, 4), (3, 5), (5, 6)])
def test_interquartile_means_of_resamples_are_scipys_of_resampled_scores(shape):
    scores = np.random.default_rng(1).normal(size=shape).round(1)  # some tie
    draws = datasets._draws({"a": shape})["a"]
    shares = tuple(map(datasets._shares, draws, shape))
    every = resampled(scores, draws).reshape(datasets.RESAMPLES, -1)
    expected = stats.trim_mean(every, 0.25, axis=1)
    np.testing.assert_allclose(datasets._middles(scores, shares), expected, atol=1e-12)


def test_the_interquartile_mean_leaves_out_both_ends():
    scores = {"a": np.arange(8.0).reshape(2, 4), "b": np.zeros((2, 4))}
    scores["a"][1, 3] = 1e9
    [of_a] = [one for one in datasets.overall(scores, "b") if one.group == "a"]
    assert of_a.interquartile_mean.value == np.mean([2, 3, 4, 5])


def test_above_chance_is_zero_at_chance_and_one_at_best():
    scores = np.array([[0.1, 0.5], [1.0, 1.0], [0.55, 0.75]])
    above = datasets.above_chance(scores, [0.1, 0.5])
    np.testing.assert_allclose(above, [[0, 0], [1, 1], [0.5, 0.5]])
    assert datasets.above_chance(scores, [0.1, None]) is scores


def test_the_critical_difference_is_that_of_the_tables():
    """q of Demsar 2006, table 5a, over the root: for 2 to 10 classifiers."""
    table_5a = {3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}
    for variants, q in table_5a.items():
        seen = datasets.ranking(made(variants, 2, 10)).critical_difference
        assert seen == pytest.approx(q * (variants * (variants + 1) / 60) ** 0.5, rel=1e-3)


def test_friedmans_test_is_scipys_on_means():
    scores = made(4, 3, 8)
    expected = stats.friedmanchisquare(*(scores[group].mean(axis=0) for group in scores)).pvalue
    assert datasets.ranking(scores).p == pytest.approx(expected)


@pytest.mark.parametrize("variants, count", [(2, 8), (4, 4)])
def test_few_variants_or_datasets_are_not_ranked(variants, count):
    assert datasets.ranking(made(variants, 2, count)) is None


def test_variants_that_tie_everywhere_are_not_ranked():
    assert datasets.ranking({name: np.ones((2, 6)) for name in "abc"}) is None


def test_the_same_scores_give_the_same_intervals_in_any_order():
    scores = made()
    backwards = dict(reversed(scores.items()))
    assert {one.group: one for one in datasets.overall(scores, "v0")} == {
        one.group: one for one in datasets.overall(backwards, "v0")
    }


@pytest.mark.whole
@pytest.mark.parametrize(
    ("seeds", "shared", "least", "most"),
    [(3, 0.0, 0.95, 1.0), (10, 0.0, 0.95, 1.0), (3, 1.0, 0.83, 0.945), (10, 1.0, 0.91, 0.99)],
)
def test_intervals_of_wins_cover_what_is_true_as_the_page_says(seeds, shared, least, most):
    """Two equally good variants on ten datasets: one beats the other half the time.

    shared: spread of what a training has in common over datasets. With it, few seeds give too
    narrow intervals, as the page says; with ten they hold.
    """
    generator, covered = np.random.default_rng(1), []
    for _ in range(300):
        difficulty = generator.normal(0, 3, 10)
        scores = {
            name: difficulty
            + shared * generator.normal(0, 1, (seeds, 1))
            + generator.normal(0, 0.5, (seeds, 10))
            for name in "ab"
        }
        [beats] = [one.beats for one in datasets.overall(scores, "a") if one.beats]
        covered.append(beats.low <= 0.5 <= beats.high)
    assert least <= np.mean(covered) <= most


def built(folder, figures=False):
    loaded = store.load(folder)
    report = content.build(Analysis(loaded, table.frame(loaded)), figures)
    return {section.id: section for section in report.sections}


def test_the_page_has_them_where_there_are_enough_datasets(tmp_path):
    abilities = {"cosine": 0.0, "filip": 0.8, "wpse-imq": 1.5}
    folder = write_experiment(tmp_path / "many", abilities, datasets=SETS)
    section = built(folder, figures=True)["zeroshot"]
    [shown] = [part for part in section.tables if part.id == "datasets-zeroshot"]
    assert [row[0].text for row in shown.rows] == ["wpse-imq", "filip", "cosine"]
    assert shown.rows[0][4].sort > 0.5 and shown.rows[2][4].text == "–"
    assert "Mean above chance, %" in shown.header and "top-1 accuracy" in shown.caption
    assert any("Nemenyi" in note for note in shown.notes)
    assert "figure-ranks-zeroshot" in [figure.id for figure in section.figures]


def test_of_few_datasets_the_page_says_nothing(tmp_path):
    folder = write_experiment(tmp_path / "few", {"cosine": 0.0, "filip": 1.0})
    ids = [part.id for part in built(folder)["zeroshot"].tables]
    assert "datasets-zeroshot" not in ids


def test_an_average_is_corrected_for_chance_that_differs(tmp_path):
    folder = write_experiment(tmp_path / "many", {"cosine": 0.0, "filip": 1.0}, datasets=SETS)
    [shown] = [part for part in built(folder)["zeroshot"].tables if part.id == "datasets-zeroshot"]
    loaded = store.load(folder)
    scores = Analysis(loaded, table.frame(loaded)).scores
    columns = scores.columns("zeroshot")
    above = [
        (value - column.chance) / (1 - column.chance)
        for column in columns
        for value in scores.summary("filip", column).values.values()
    ]
    [row] = [row for row in shown.rows if row[0].text == "filip"]
    assert len({column.chance for column in columns}) > 1
    assert row[1].sort == pytest.approx(np.mean(above))
