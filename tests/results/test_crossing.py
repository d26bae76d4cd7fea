"""Sources of randomness that are crossed: the components, their intervals, and what is found."""

import json
from types import SimpleNamespace
from typing import get_args
from unittest import mock

import numpy as np
import pytest
from scipy import stats
from synthetic import change, run_name, write_experiment

from kbench.experiment.schema import Source
from kbench.report import content
from kbench.report import crossing as section
from kbench.report.analysis import Analysis
from kbench.results import store, table
from kbench.results.crossing import components, crossings


def simulated(generator, sds, shape):
    """Return scores (n, A, S) with these standard deviations by source, others, both."""
    n, sources, others = shape
    of_source = sds[0] * generator.normal(size=(n, sources, 1))
    of_others = sds[1] * generator.normal(size=(n, 1, others))
    return of_source + of_others + sds[2] * generator.normal(size=shape)


def test_of_much_data_the_components_are_found():
    scores = simulated(np.random.default_rng(0), (3.0, 0.5, 1.0), (1, 400, 300))[0]
    values = [part.value for part in components(scores)]
    np.testing.assert_allclose(values, (3.0, 0.5, 1.0), rtol=0.1)


def test_what_is_additive_has_nothing_together():
    scores = np.array([[1.0], [2.0], [4.0]]) + np.array([[0.0, 10.0, 30.0]])
    source, others, together = components(scores)
    assert together.value == pytest.approx(0, abs=1e-12)
    assert source.value == pytest.approx(np.std([1, 2, 4], ddof=1))
    assert others.value == pytest.approx(np.std([0, 10, 30], ddof=1))


def test_the_interval_leaves_out_0_where_the_f_test_rejects():
    generator = np.random.default_rng(1)
    for scores in simulated(generator, (0.8, 0.3, 1.0), (200, 4, 5)):
        source, _, together = components(scores)
        ratio = 5 * scores.mean(axis=1).var(ddof=1) / together.value**2
        assert (source.low > 0) == (stats.f.sf(ratio, 3, 12) < 0.025)


def test_the_interval_has_no_width_where_means_are_nearer_than_in_39_of_40_experiments():
    generator = np.random.default_rng(3)
    ends = []
    for scores in simulated(generator, (0.0, 0.3, 1.0), (2000, 4, 5)):
        source, _, together = components(scores)
        ratio = 5 * scores.mean(axis=1).var(ddof=1) / together.value**2
        assert (source.high == 0) == (stats.f.cdf(ratio, 3, 12) < 0.025)
        ends.append(source.high == 0)
    assert 0.015 < np.mean(ends) < 0.035


@pytest.mark.parametrize("shape", [(3, 3), (4, 4), (3, 6)])
@pytest.mark.parametrize(
    "sds", [(1.0, 1.0, 1.0), (3.0, 1.0, 0.5), (0.3, 1.0, 1.0), (0.0, 1.0, 1.0)]
)
def test_intervals_cover(shape, sds):
    """In 93.5 to 97 % of 2,000 simulated experiments; where there is nothing, in no less."""
    generator = np.random.default_rng(2)
    covered = np.zeros(3)
    for scores in simulated(generator, sds, (2000, *shape)):
        parts = components(scores)
        covered += [part.low <= sd <= part.high for part, sd in zip(parts, sds, strict=True)]
    low, high = covered.min() / 2000, covered[np.array(sds) > 0].max() / 2000
    assert low > 0.935 and high < 0.97


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    """Three first weights at four seeds of all else, and a variant that fixes nothing."""
    folder = tmp_path_factory.mktemp("crossing") / "made-up"
    abilities = {"cosine-a": 1.0, "cosine-b": 1.2, "cosine-c": 0.8, "filip": 1.0}
    write_experiment(folder, abilities, seeds=(0, 1, 2, 3), datasets=("world-shape",))
    for index, variant in enumerate(list(abilities)[:3]):
        for seed in range(4):
            config = folder / "runs" / run_name(variant, seed) / "config.json"
            change(config, similarity="cosine", fixed_seeds={"initialisation": index})
    loaded = store.load(folder)
    return Analysis(loaded, table.frame(loaded))


def test_groups_that_differ_in_a_fixed_seed_alone_are_a_crossing(analysis):
    [crossing] = crossings(analysis.store, analysis.groups)
    assert crossing.source == "initialisation"
    assert crossing.groups == {0: "cosine-a", 1: "cosine-b", 2: "cosine-c"}


def test_searches_are_a_crossing_whatever_they_chose_and_other_settings_are_not(tmp_path):
    folder = tmp_path / "made-up"
    abilities = {"search-a": 1.0, "search-b": 1.2, "search-c": 0.8, "search-d": 1.0}
    write_experiment(folder, abilities, seeds=(0, 1), datasets=("world-shape",))
    experiment = json.loads((folder / "experiment.json").read_text())
    grid = {"grid": {"learning_rate": [1e-3, 2e-3]}, "trials": 2}
    change(folder / "experiment.json", experiment=experiment["experiment"] | {"tuning": grid})
    decays = (0.1, 0.1, 0.1, 0.2)  # not searched
    for index, variant in enumerate(abilities):
        training = {"learning_rate": 1e-3 * (1 + index % 2), "weight_decay": decays[index]}
        for seed in range(2):
            config = folder / "runs" / run_name(variant, seed) / "config.json"
            fixed = {"tuning": index}
            change(config, similarity="cosine", training=training, fixed_seeds=fixed)
    loaded = store.load(folder)
    [crossing] = crossings(loaded, Analysis(loaded, table.frame(loaded)).groups)
    assert crossing.source == "tuning"
    assert list(crossing.groups.values()) == ["search-a", "search-b", "search-c"]


def test_every_source_has_a_name_in_reports():
    assert set(section.NAMES) == set(get_args(Source))


def test_the_report_has_a_table_and_says_what_the_groups_share(analysis):
    shown = section.section(analysis)
    [drawn] = [table for table in shown.tables if "zeroshot" in table.id]
    assert [row[0].text for row in drawn.rows] == [
        "first weights",
        "everything else",
        "both together",
    ]
    assert "3 seeds of initialisation x 4 of all else" in drawn.caption
    assert "hold for trainings with it alone" in shown.sentences[0]
    ids = [part.id for part in content.build(analysis, figures=False).sections]
    assert "crossing" in ids


def test_an_interval_without_width_is_explained(tmp_path):
    folder = tmp_path / "made-up"
    abilities = {"cosine-a": 1.0, "cosine-b": 1.0}
    write_experiment(folder, abilities, seeds=(0, 1, 2), datasets=("world-shape",))
    for index, variant in enumerate(abilities):
        for seed in range(3):
            config = folder / "runs" / run_name(variant, seed) / "config.json"
            change(config, similarity="cosine", fixed_seeds={"initialisation": index})
    loaded = store.load(folder)
    analysis = Analysis(loaded, table.frame(loaded))
    scores = {"cosine-a": {0: 0.5, 1: 0.6, 2: 0.4}, "cosine-b": {0: 0.6, 1: 0.4, 2: 0.5}}
    for values, expected in ((scores, [section.TOO_NEAR]), (apart(scores), [])):
        with mock.patch.object(
            type(analysis.scores), "average", lambda _, g, c, v=values: of(v[g])
        ):
            shown = section.section(analysis)
            assert all(part.notes == expected for part in shown.tables)


def of(values):
    return SimpleNamespace(values=values)


def apart(scores):
    """Return the same scores, one group's a tenth higher."""
    return {
        "cosine-a": scores["cosine-a"],
        "cosine-b": {seed: value + 0.1 for seed, value in scores["cosine-b"].items()},
    }


def test_an_experiment_that_crosses_nothing_has_no_such_section(tmp_path):
    folder = write_experiment(tmp_path / "made-up", {"cosine": 1.0, "filip": 2.0})
    loaded = store.load(folder)
    assert section.section(Analysis(loaded, table.frame(loaded))) is None
