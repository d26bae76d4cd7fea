"""Tables of scores: mean ± sd over seeds by variant and dataset, the PMI gap, and every single
result.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np

from kbench import tasks
from kbench.datasets import dataset as known_datasets
from kbench.document.numbers import heading, number, unit_name
from kbench.document.parts import Cell, Table, variant
from kbench.report.analysis import Analysis
from kbench.results.summary import Column, Summary
from kbench.results.text import mean_sd
from kbench.tasks.base import Measure

SHOWN = (
    *("run", "variant", "seed", "dataset", "task", "metric", "value", "draw_sd", "unit"),
    *("n_test", "status", "job"),
)
"""Columns of the tidy table that the table of all results is made from."""

SEEDS_NAMED = 10
"""Of which each is named beside its value."""


def score_tables(analysis: Analysis, task: str) -> list[Table]:
    """Return the tables of a task; other readings of its main metrics have tables of their own."""
    columns, every, declared = (
        analysis.columns(task),
        analysis.scores.columns(task, main=False),
        tasks.find(task),
    )
    if declared and declared.every_metric:
        shown = _table(analysis, f"scores-{task}", heading(tasks.title(task)), every, False)
        return [_with_interval(analysis, shown, columns[0]) if declared.interval else shown]
    tables = [_table(analysis, f"scores-{task}", _caption(task, columns), columns, True)]
    for which, others in _other_readings(
        task, {column.metric for column in columns}, every
    ).items():
        tables.append(
            _table(analysis, f"scores-{task}-{which}", _caption(task, others), others, True)
        )
    return tables


def _other_readings(task: str, main: set[str], every: list[Column]) -> dict[str, list[Column]]:
    """Return the columns of metrics that are other readings of the main ones, by the word that
    tells which.
    """
    readings: dict[str, list[Column]] = {}
    for column in every:
        measure = tasks.measure(task, column.metric)
        if measure and measure.of in main:
            readings.setdefault(measure.which, []).append(column)
    return readings


def all_results(analysis: Analysis) -> Table:
    """Return one row a (run, dataset, task, metric), missing ones included."""
    title, metric_title = cache(tasks.title), cache(tasks.metric_title)
    cell = cache(Cell)  # a few texts are those of most cells
    rows = [
        [
            cell(str(row["variant"]), href=f"#run-{row['run']}"),
            cell(str(row["seed"]), row["seed"]),
            cell(row["dataset"]),
            cell(title(row["task"]) if row["task"] else "–"),
            cell(metric_title(row["task"], row["metric"]) if row["metric"] else "–"),
            _value(row),
            cell(number(row["draw_sd"], row["unit"]), row["draw_sd"]),
            cell(str(row["n_test"] or "–"), row["n_test"]),
        ]
        for row in _rows(analysis)
    ]
    header = [
        "Variant",
        "Seed",
        "Dataset",
        "Task",
        "Metric",
        "Value",
        "sd over draws",
        "Test images",
    ]
    caption = (
        "Every result. Fractions in percent, losses in nats; a variant's name leads to its run."
    )
    return Table("results", caption, header, rows, [], text_columns=1, searchable=True)


def _rows(analysis: Analysis) -> Iterator[dict]:
    """Yield what the table of all results shows of each row, None where there is nothing."""
    columns = {}
    for name in SHOWN:
        values = analysis.table[name]
        columns[name] = values.astype(object).where(values.notna(), None).tolist()
    for row in zip(*columns.values(), strict=True):
        yield dict(zip(SHOWN, row, strict=True))


def _table(
    analysis: Analysis, name: str, caption: str, columns: list[Column], average: bool
) -> Table:
    summaries = {
        group: [analysis.scores.summary(group, c) for c in columns]
        for group in analysis.scores.groups
    }
    tested = [(column,) for column in columns]
    if average and len(columns) > 1:
        tested.append(tuple(columns))
        for group, row in summaries.items():
            row.append(analysis.scores.average(group, columns))
        columns = [
            *columns,
            Column(columns[0].task, "Average", "", columns[0].unit, columns[0].higher_is_better),
        ]
    rows = [
        [variant(group), *(_cell(group, c, s) for c, s in zip(columns, row, strict=True))]
        for group, row in summaries.items()
    ]
    _mark(analysis, rows, tested)
    header = ["Variant", *(c.dataset if average else _metric_header(columns, c) for c in columns)]
    return Table(name, caption, header, rows, [_seeds_note(analysis), *_chance_note(columns)])


def _with_interval(analysis: Analysis, table: Table, column: Column) -> Table:
    """Return a table with one more column: the 95 % interval of each variant's mean, over training
    seeds and the choice of test samples.
    """
    name = f"{_metric_header([column], column)}, 95 % interval"
    ends = [analysis.interval(row[0].text, [column]) for row in table.rows]
    cells = [
        Cell("–" if end is None else " to ".join(number(value, column.unit) for value in end))
        for end in ends
    ]
    rows = [[*row, cell] for row, cell in zip(table.rows, cells, strict=True)]
    note = "The interval covers training seeds and the choice of test samples."
    return replace(table, header=[*table.header, name], rows=rows, notes=[*table.notes, note])


def _cell(group: str, column: Column, summary: Summary) -> Cell:
    if summary.mean is None:
        return Cell("missing")
    values = _by_seed({seed: number(v, column.unit) for seed, v in summary.values.items()})
    shown = results_filter(group, column) if column.metric else ""
    return Cell(mean_sd(summary, column.unit), summary.mean, filter=shown, title=values)


def _by_seed(values: dict[int, str]) -> str:
    """Return values with their seeds; of many seeds in a row, with the first and the last."""
    seeds = list(values)
    if len(seeds) > SEEDS_NAMED and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"seeds {seeds[0]} to {seeds[-1]}: {', '.join(values.values())}"
    return ", ".join(f"seed {seed}: {value}" for seed, value in values.items())


def results_filter(group: str, column: Column) -> str:
    """Return the filter of the table of all results that leaves those behind one number."""
    words = (group, column.dataset, tasks.title(column.task), column.title)
    return " ".join(f'"{word}"' for word in words)


def _mark(analysis: Analysis, rows: list[list[Cell]], columns: list[tuple[Column, ...]]) -> None:
    """Mark in each column, in place, the best mean and those that no test separates from it.

    Nothing is marked where that is all of them, where nothing can be tested, where the best may be
    guessing, or between runs of different embedding dimensions.
    """
    for index, over in enumerate(columns, start=1):
        best = _not_separated_from_the_best(analysis, over)
        for row in rows if len(best) < len(rows) and not analysis.lines else ():
            row[index] = row[index]._replace(best=row[0].text in best)


def _not_separated_from_the_best(analysis: Analysis, over: tuple[Column, ...]) -> set[str]:
    ranked = [group for group, _ in analysis.scores.ranked(list(over))]
    if not ranked or _may_guess(analysis, ranked[0], over):
        return set()
    pairs = analysis.pairs.chosen([(group, ranked[0], over) for group in ranked[1:]])
    if any(pair.estimate is None for pair in pairs):
        return set()
    return {ranked[0], *(pair.first for pair in pairs if not pair.significant)}


def _may_guess(analysis: Analysis, group: str, over: tuple[Column, ...]) -> bool:
    """Return whether a group's mean is not shown to be better than guessing, where its level is
    known.
    """
    levels = [column.chance for column in over]
    interval = analysis.interval(group, list(over))
    if None in levels or interval is None:
        return False
    level = float(np.mean(levels))
    return interval[0] <= level if over[0].higher_is_better else interval[1] >= level


def _caption(task: str, columns: list[Column]) -> str:
    metrics = list(dict.fromkeys(column.title for column in columns))
    return f"{heading(tasks.title(task))}, {' or '.join(metrics)}, {unit_name(columns[0].unit)}"


def _metric_header(columns: list[Column], column: Column) -> str:
    unit = unit_name(column.unit)
    datasets = {other.dataset for other in columns}
    where = f"{column.dataset}, " if len(datasets) > 1 else ""
    return f"{where}{column.title}{', ' + unit if unit else ''}"


def _seeds_note(analysis: Analysis) -> str:
    seeds = len(analysis.store.experiment.seeds)
    spread = (
        f"Mean ± sd over {seeds} training seeds"
        if seeds > 1
        else "One training seed: no sd over seeds is known"
    )
    return (
        f"{spread}; bold: the best mean and those that no test separates from it (5 %, Holm's"
        " correction in each column), where that is not all of them."
    )


def _chance_note(columns: list[Column]) -> list[str]:
    """Return what guessing would score in each dataset's main metric, where that is known."""
    several = len({column.metric for column in columns if column.metric}) > 1
    main = {c.dataset: _main_measure(c) for c in columns if c.dataset in known_datasets.names()}
    chances = {
        name: measure.chance(known_datasets.get(name)) for name, measure in main.items() if measure
    }
    levels = [
        f"{name} {number(chance, 'fraction')}{f' ({main[name].title})' if several else ''}"
        for name, chance in chances.items()
        if chance
    ]
    return [f"Guessing scores {', '.join(levels)} %."] if levels else []


def _main_measure(column: Column) -> Measure | None:
    declared = tasks.find(column.task)
    if declared is None:
        return None
    return declared.measures[declared.main(known_datasets.get(column.dataset).main_metric)]


def _value(row: dict) -> Cell:
    if row["status"] == "missing":
        return Cell("missing", title=row["job"])
    return (
        Cell("undefined")
        if row["value"] is None
        else Cell(number(row["value"], row["unit"]), row["value"])
    )
