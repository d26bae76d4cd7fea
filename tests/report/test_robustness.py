"""Accuracy under shift against accuracy without it, in numbers and in the report."""

import numpy as np
import pandas
import pytest
from synthetic import write_experiment

from kbench.report import content, render
from kbench.report.analysis import Analysis
from kbench.results import store, table
from kbench.results.robustness import accuracies, effective, shifts
from kbench.results.summary import Scores

SETS = ("imagenet1k", "imagenetv2", "imagenet_sketch", "world-shape")


def scores(**variants):
    """Return scores of zero-shot accuracies {variant: (without shift, under it)} at one seed."""
    rows = [
        {
            "variant": name,
            "seed": 0,
            "dataset": dataset,
            "task": "zeroshot",
            "metric": "acc1",
            "value": value,
            "unit": "fraction",
            "higher_is_better": True,
            "main": True,
            "status": "measured",
            "similarity": name,
            "objective": "infonce",
        }
        for name, pair in variants.items()
        for dataset, value in zip(("imagenet1k", "imagenet-r"), pair, strict=True)
    ]
    return Scores(pandas.DataFrame(rows))


def logistic(x):
    return 1 / (1 + np.exp(-x))


def test_what_lies_on_the_line_of_the_others_has_none_and_what_lies_above_has_that():
    on = {f"v{i}": (logistic(x), logistic(0.8 * x - 0.5)) for i, x in enumerate([-1, 0, 0.5, 2])}
    ours = scores(**on)
    (shift,) = shifts(ours)
    assert shift.suite == "imagenet-robustness"
    assert accuracies(ours, shift, "v1") == {0: on["v1"]}
    assert effective(ours, shift) == pytest.approx(dict.fromkeys(on, 0.0), abs=1e-12)
    above = scores(**on, better=(0.5, logistic(-0.5) + 0.07))
    assert effective(above, shift)["better"] == pytest.approx(0.07)


def test_too_few_others_or_an_accuracy_of_nothing_leave_it_undefined():
    few = scores(a=(0.3, 0.2), b=(0.4, 0.3), c=(0.5, 0.4))
    (shift,) = shifts(few)
    assert set(effective(few, shift).values()) == {None}
    zero = scores(a=(0.3, 0.2), b=(0.4, 0.3), c=(0.5, 0.4), d=(0.1, 0.0))
    assert set(effective(zero, shift).values()) == {None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    abilities = {f"variant-{i}": i / 2 for i in range(5)}
    return write_experiment(tmp_path_factory.mktemp("shift") / "shift", abilities, datasets=SETS)


def test_the_report_has_a_figure_and_a_table(folder):
    loaded = store.load(folder)
    report = content.build(Analysis(loaded, table.frame(loaded)))
    (section,) = [part for part in report.sections if part.id == "robustness"]
    (shown,) = section.tables
    assert shown.header[1:3] == ["imagenet1k", "Average under shift"]
    assert "imagenetv2, imagenet_sketch" in shown.caption
    assert [row[0].text for row in shown.rows] == [f"variant-{i}" for i in range(5)]
    assert all(row[3].sort is not None for row in shown.rows)
    assert "Effective robustness" in render.markdown(report)
    assert 'id="figure-robustness-imagenet-robustness-zeroshot"' in render.html(report)


def test_without_both_there_is_no_such_section(tmp_path):
    folder = write_experiment(tmp_path / "x", {"cosine": 0.0}, datasets=("imagenetv2",))
    loaded = store.load(folder)
    report = content.build(Analysis(loaded, table.frame(loaded)), figures=False)
    assert "robustness" not in [part.id for part in report.sections]
