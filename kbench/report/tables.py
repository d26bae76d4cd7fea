"""Tables beside the scores: comparisons, variance, cost, missing results."""

from collections.abc import Iterable

import numpy as np

from kbench import tasks
from kbench.document.numbers import heading, number, unit_name
from kbench.document.parts import Cell, Table, variant
from kbench.report.analysis import Analysis
from kbench.report.answer import difference_unit, found_from, over, p_text
from kbench.results.pairs import Comparison
from kbench.results.text import mean_sd
from kbench.results.variance import Spread

HOLM = (
    "p-values are corrected by Holm's method for the number of tests in this table, intervals are"
    " those of single comparisons."
)
DETECTABLE = (
    "Detectable: the difference that Holm's first step would have found four times in five."
)
OUTCOMES = ["95 % interval", "p (Holm)", "Seeds", "Shown", "Detectable"]
TESTED = 4
"""Cells of a comparison up to the number of seeds: a table of every dataset has no more."""


def comparison_table(task: str, pairs: list[Comparison], part: str = "pairs") -> Table:
    """Return the pairs of variants on the average over a task's datasets, for a part of the
    report.
    """
    column = pairs[0].columns[0]
    unit = difference_unit(column)
    caption = f"Pairs in {tasks.title(task)} {column.title} {over(pairs[0].columns)}"
    rows = [[variant(pair.first), variant(pair.second), *difference_cells(pair)] for pair in pairs]
    header = [
        "Variant",
        "Compared with",
        f"Difference, {unit}",
        *OUTCOMES,
    ]
    return Table(f"{part}-{task}", caption, header, rows, _notes(pairs), text_columns=2)


def comparison_details(task: str, pairs: list[Comparison]) -> Table:
    """Return the pairs of variants on every dataset by itself."""
    rows = [
        [
            Cell(pair.columns[0].dataset),
            variant(pair.first),
            variant(pair.second),
            *difference_cells(pair)[:TESTED],
        ]
        for pair in pairs
    ]
    unit = difference_unit(pairs[0].columns[0])
    caption = f"Pairs in {tasks.title(task)}, dataset by dataset"
    header = [
        "Dataset",
        "Variant",
        "Compared with",
        f"Difference, {unit}",
        *OUTCOMES[: TESTED - 1],
    ]
    return Table(
        f"pairs-each-{task}",
        caption,
        header,
        rows,
        [HOLM, *_coverage(pairs)],
        text_columns=3,
        searchable=True,
    )


def _notes(pairs: list[Comparison]) -> list[str]:
    margins = {(pair.margin, pair.columns[0]) for pair in pairs if pair.margin is not None}
    said = [
        f"Equivalent: two one-sided tests, each at 5 %, place the difference within"
        f" {number(margin, column.unit)} {difference_unit(column)}."
        for margin, column in sorted(margins, key=str)[:1]
    ]
    return [HOLM, DETECTABLE, *said, *_coverage(pairs)]


SOURCES = ("training seed", "seed and image together", "random features", "test images")


def variance_table(analysis: Analysis, task: str) -> Table:
    """Return the sd of one run's score by source, root mean square over a task's datasets."""
    columns = analysis.columns(task)
    unit = columns[0].unit
    rows = []
    for group in analysis.scores.groups:
        split = analysis.variance.split(group, columns)
        others = (split.together, split.draw, split.images)
        rows.append(
            [
                variant(group),
                with_ends(split.training, unit),
                *(_precise(value, unit) for value in others),
            ]
        )
    header = ["Variant", f"{heading(SOURCES[0])} [95 % interval]", *map(heading, SOURCES[1:])]
    caption = f"{heading(tasks.title(task))}, sd in {difference_unit(columns[0])}"
    return Table(f"variance-{task}", caption, header, rows)


def spread(analysis: Analysis, task: str, group: str) -> list[float | None]:
    """Return the sd by each of SOURCES; None where unknown."""
    split = analysis.variance.split(group, analysis.columns(task))
    training = split.training and split.training.value
    return [training, split.together, split.draw, split.images]


def with_ends(seen: Spread | None, unit: str) -> Cell:
    """Return the cell of a standard deviation with its interval."""
    if seen is None:
        return _precise(None, unit)
    value, low, high = (_precise(end, unit).text for end in (seen.value, seen.low, seen.high))
    return Cell(f"{value} [{low}, {high}]", seen.value)


def cost_table(analysis: Analysis) -> Table:
    """Return what each variant cost to train, mean over its runs, beside its score in the first
    task.
    """
    groups = [group for group in analysis.scores.groups if analysis.cards_of(group)]
    rows = []
    for group in groups:
        cards = analysis.cards_of(group)
        rows.append(
            [
                variant(group),
                _plain(np.mean([card.parameters for card in cards]) / 1e6, 3),
                _plain(np.mean([card.steps for card in cards]), 0),
                _plain(np.mean([card.samples_per_second for card in cards]), 0),
                _plain(np.mean([card.seconds for card in cards]), 1),
                _hours(np.mean([card.seconds * card.processes / 3600 for card in cards])),
                _plain(100 * np.mean([card.data_wait_fraction for card in cards]), 1),
                _plain(np.mean([card.peak_memory_bytes for card in cards]) / 2**30, 2),
                *_score(analysis, group),
            ]
        )
    devices = {card.device for card in analysis.store.cards.values()}
    header = [
        "Variant",
        "Parameters, millions",
        "Steps",
        "Pairs/s",
        "Training, s",
        f"{'CPU' if devices == {'cpu'} else 'GPU' if 'cpu' not in devices else 'Device'} hours",
        "Waiting for data, %",
        "Peak memory, GiB",
    ]
    header += [
        f"{tasks.title(task)}, {unit_name(analysis.columns(task)[0].unit)}"
        for task in analysis.tasks[:1]
    ]
    machines = sorted({f"{card.device} ({card.machine})" for card in analysis.store.cards.values()})
    notes = [
        "Mean over runs; wall time of training steps alone, times processes in the hours, on"
        f" {', '.join(machines)}."
    ]
    return Table("cost-table", "Cost of one pretraining run", header, rows, notes)


def missing_table(analysis: Analysis) -> Table | None:
    """Return what is missing with the job that makes it, or None."""
    missing = analysis.store.missing
    if not missing:
        return None
    rows = [
        [Cell(item.run), Cell(item.dataset), Cell(tasks.title(item.task)), Cell(item.job)]
        for item in missing
    ]
    caption = f"{len(missing)} of {analysis.store.expected} results are missing"
    return Table(
        "missing-table",
        caption,
        ["Run", "Dataset", "Task", "Job"],
        rows,
        text_columns=4,
        searchable=True,
    )


def difference_cells(pair: Comparison) -> list[Cell]:
    """Return difference, interval, corrected p-value, number of seeds, outcome and detectable
    difference of a comparison.
    """
    estimate, unit = pair.estimate, pair.columns[0].unit
    if estimate is None:
        return [Cell(pair.outcome), *[Cell("–")] * len(OUTCOMES)]
    value = Cell(number(estimate.value, unit), estimate.value, best=pair.significant)
    between = f"{number(estimate.low, unit)} to {number(estimate.high, unit)}"
    return [
        value,
        Cell(between, estimate.low),
        Cell(p_text(pair.p_holm), pair.p_holm),
        Cell(str(estimate.seeds), estimate.seeds),
        Cell(pair.outcome),
        Cell(found_from(pair.detectable, unit), pair.detectable),
    ]


def _coverage(pairs: Iterable[Comparison]) -> list[str]:
    """Return what the intervals do not cover."""
    estimates = [pair.estimate for pair in pairs if pair.estimate]
    notes = []
    if any(not estimate.covers_training for estimate in estimates):
        notes.append(
            "One seed: intervals cover the choice of test images only; the variance of training is"
            " unknown."
        )
    if any(not estimate.covers_sampling for estimate in estimates):
        notes.append("Without scores of single images, intervals cover training seeds only.")
    if any(estimate.covers_training and estimate.covers_sampling for estimate in estimates):
        notes.append(
            "Intervals cover training seeds and the choice of test images; both variants saw the"
            " same ones."
        )
    return notes


def _score(analysis: Analysis, group: str) -> list[Cell]:
    return [
        Cell(mean_sd(average, analysis.columns(task)[0].unit), average.mean)
        for task in analysis.tasks[:1]
        for average in [analysis.scores.average(group, analysis.columns(task))]
    ]


def _precise(value: float | None, unit: str) -> Cell:
    return Cell(
        number(value, unit) if value is None or unit != "fraction" else f"{100 * value:.2f}", value
    )


def _hours(value: float) -> Cell:
    return Cell(f"{value:.3g}", float(value))


def _plain(value: float, digits: int) -> Cell:
    return Cell(f"{value:.{digits}f}", float(value))
