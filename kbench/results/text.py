"""Summaries as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbench import tasks
from kbench.document.numbers import number, unit_name
from kbench.results.store import Store
from kbench.results.summary import Column, Scores, Summary

if TYPE_CHECKING:
    import pandas


def mean_sd(summary: Summary, unit: str) -> str:
    """Return 'mean ± sd', the mean alone at one seed, or a dash without values."""
    if summary.sd is None:
        return number(summary.mean, unit)
    return f"{number(summary.mean, unit)} ± {number(summary.sd, unit)}"


def summary(store: Store, table: pandas.DataFrame) -> str:
    """Return a short account of an experiment: completeness, then each variant's averages by
    task.
    """
    scores = Scores(table)
    measured = [(task, scores.columns(task)) for task in scores.tasks]
    lines = [
        f"{store.experiment.name}: {len(store.results)} of {store.expected} results, "
        f"{len(store.experiment.runs)} runs, mean ± sd over seeds"
    ]
    if measured:
        header = ["variant", "seeds", *(_heading(task, columns) for task, columns in measured)]
        lines += aligned([header, *(_line(scores, group, measured) for group in scores.groups)])
    lines += store.mixture_notes
    lines += [f"left out, no longer part of the experiment: {run}" for run in store.stale]
    jobs = dict.fromkeys(missing.job for missing in store.missing)
    return "\n".join(lines + [f"missing: {job}" for job in jobs])


def _heading(task: str, columns: list[Column]) -> str:
    unit = unit_name(columns[0].unit)
    datasets = f"{len(columns)} datasets" if len(columns) > 1 else columns[0].dataset
    return f"{tasks.title(task)}, {unit or columns[0].title} ({datasets})"


def _line(scores: Scores, group: str, measured: list[tuple[str, list[Column]]]) -> list[str]:
    averages = [(scores.average(group, columns), columns[0].unit) for _, columns in measured]
    seeds = max(average.n for average, _ in averages)
    return [group, str(seeds), *(mean_sd(average, unit) for average, unit in averages)]


def aligned(rows: list[list[str]]) -> list[str]:
    """Return rows of texts as lines, columns below one another."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
