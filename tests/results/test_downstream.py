"""The order of gap and error over sets of weights: Kendall's tau, its interval, and what contradicts
it.
"""

import re

import numpy as np
import pytest
from scipy import stats
from synthetic import write_experiment

from kbench.report import content
from kbench.report.analysis import Analysis
from kbench.results import store, table
from kbench.results.downstream import MOST, STRATA, Weights, classifiers, tau, taus, weights


def made_up(generator, groups=12, seeds=3, points=3, effect=0.0):
    """Return weights whose gaps and errors have parts of their group, of their seed and of their
    own; `effect`: what a gap adds to the error.
    """
    every = []
    for group in range(groups):
        of_group = generator.normal(size=2)
        for seed in range(seeds):
            of_seed = of_group + 0.3 * generator.normal(size=2)
            for samples in range(points):
                gap, error = of_seed + 0.2 * generator.normal(size=2)
                every.append(
                    Weights(str(group), seed, samples, group % 3, gap, error + effect * gap)
                )
    return every


def test_of_weights_of_one_group_each_it_is_scipys():
    generator = np.random.default_rng(0)
    for _ in range(5):
        every = made_up(generator, groups=30, seeds=1, points=1, effect=0.5)
        expected = stats.kendalltau([one.gap for one in every], [one.error for one in every])
        found = tau(every, STRATA["all"])
        assert found.value == pytest.approx(expected.statistic)
        assert found.pairs == 30 * 29 // 2 and found.low < found.value < found.high


def test_weights_of_one_group_are_no_pair_and_ties_are_none():
    one, other = Weights("a", 0, 0, 2, 1.0, 0.1), Weights("a", 1, 0, 2, 2.0, 0.3)
    assert tau([one, other], STRATA["all"]) is None
    tied = Weights("b", 0, 0, 2, 1.0, 0.5)
    found = tau([one, other, tied], STRATA["all"])
    assert found.pairs == 1 and found.value == -1


def test_a_common_order_that_the_dimension_alone_makes_is_not_one_within_dimensions():
    every = [
        Weights(f"{name}-d{d}", 0, 0, d, gap=-d + 0.1 * place, error=-d - 0.1 * place)
        for d in (1, 2, 3)
        for place, name in enumerate("abc")
    ]
    assert tau(every, STRATA["all"]).value > 0.4
    assert tau(every, STRATA["the same dimension"]).value == -1
    assert tau(every, STRATA["the same dimension"]).pairs == 9


@pytest.mark.whole
def test_the_interval_covers_no_order_as_often_as_the_page_says():
    """Twelve variants; docs/statistics.md has the figure."""
    generator, rounds = np.random.default_rng(1), 300
    covered = 0
    for _ in range(rounds):
        found = tau(made_up(generator), STRATA["all"])
        covered += found.low <= 0 <= found.high
    assert 0.88 < covered / rounds < 0.97


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A made-up experiment of thirty runs, in which ability lowers the gap too."""
    abilities = {f"cosine-{place}": place / 2 for place in range(10)}
    folder = write_experiment(
        tmp_path_factory.mktemp("downstream") / "made-up", abilities, (0, 1, 2)
    )
    loaded = store.load(folder)
    return Analysis(loaded, table.frame(loaded))


def test_the_section_begins_with_what_contradicts(report):
    assert classifiers(report.scores) == ["zeroshot", "linear_probe"]
    [section] = [one for one in content.build(report).sections if one.id == "downstream"]
    assert len(section.figures) == 2
    for sentence in section.sentences[:2]:
        counts = re.search(r"of (\d+) pairs? of variants .* (\d+) with the higher score", sentence)
        assert int(counts[1]) > 4 and sentence.startswith(
            "Nothing speaks against" if counts[2] == "0" else "Against a common order"
        )
    rows = section.tables[0].rows
    assert [row[1].text for row in rows] == ["all", "all"], "they have one dimension"
    assert rows[0][2].sort == 30 * 29 // 2 - 10 * 3 and rows[0][3].sort > 0.5


def test_each_way_of_pairing_is_looked_at_once():
    every = made_up(np.random.default_rng(0), points=1)
    assert list(taus(every)) == ["all", "the same dimension"]
    assert list(taus(made_up(np.random.default_rng(0)))) == list(STRATA)


def test_very_many_weights_are_averaged_over_seeds(tmp_path):
    variants = {f"cosine-{place}": 1.0 for place in range(4)}
    seeds = tuple(range(MOST // 4 + 1))
    datasets = ("world-shape", "world-pairs")
    folder = write_experiment(tmp_path / "many", variants, seeds, datasets, n_test=30)
    analysis = Analysis(loaded := store.load(folder), table.frame(loaded))
    every = analysis.downstream("zeroshot")
    assert [(one.group, one.seed) for one in every] == [(name, 0) for name in variants]
    column = analysis.columns("zeroshot")[0]
    mean = analysis.scores.summary("cosine-2", column).mean
    assert every[2].error == pytest.approx(1 - mean)
    assert weights({0: analysis.scores}, "zeroshot", {}) == every


def test_few_weights_say_nothing(tmp_path):
    folder = write_experiment(tmp_path / "few", {"cosine": 1.0, "wpse-linear": 2.0})
    loaded = store.load(folder)
    sections = content.build(Analysis(loaded, table.frame(loaded)), figures=False).sections
    assert "downstream" not in {section.id for section in sections}
