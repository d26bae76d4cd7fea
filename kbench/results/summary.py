"""Means and standard deviations over training seeds, of one cell and of the average over
datasets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kbench import tasks
from kbench.datasets import dataset as known_datasets
from kbench.results.table import label

if TYPE_CHECKING:
    import pandas


# A key of hundreds of thousands of look-ups: hashed without Python code.
class Column(NamedTuple):
    """What a variant is scored on: one metric of one task on one dataset."""

    task: str
    dataset: str
    metric: str
    unit: str
    higher_is_better: bool

    @property
    def title(self) -> str:
        """What the metric is called by people."""
        return tasks.metric_title(self.task, self.metric)

    @property
    def chance(self) -> float | None:
        """What guessing scores, where that is known."""
        measure = tasks.measure(self.task, self.metric)
        known = self.dataset in known_datasets.names()
        return measure.chance(known_datasets.get(self.dataset)) if measure and known else None


@dataclass(frozen=True)
class Summary:
    """Values of one group at several training seeds."""

    values: dict[int, float]  # seed -> value

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """Mean over seeds, None without any."""
        return float(np.mean(list(self.values.values()))) if self.values else None

    @property
    def sd(self) -> float | None:
        """Standard deviation over seeds (n - 1 in the denominator), None with fewer than two."""
        return float(np.std(list(self.values.values()), ddof=1)) if self.n > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean over seeds by Student's t, None with fewer than two."""
        if self.sd is None:
            return None
        from scipy import stats  # takes longer to import than most of what needs a summary

        half = float(stats.t.ppf(0.975, self.n - 1) * self.sd / np.sqrt(self.n))
        return self.mean - half, self.mean + half


class Scores:
    """All measured values of an experiment by group (variant), column and seed."""

    def __init__(self, table: pandas.DataFrame) -> None:
        """Take the tidy table of `kbench.results.table.frame`."""
        measured = table[table["status"] == "measured"]
        self.groups = list(dict.fromkeys(label(table)[table["variant"].notna()]))
        self._values: dict[Column, dict[str, dict[int, float]]] = {}
        self._main: set[Column] = set()
        self._averages: dict[tuple[str, tuple[Column, ...]], Summary] = {}
        names = label(table)[measured.index]
        described = (measured[name].tolist() for name in Column._fields)
        cells = zip(*(measured[name].tolist() for name in ("seed", "value", "main")), strict=True)
        columns: dict[tuple, Column] = {}
        for group, key, (seed, value, main) in zip(
            names, zip(*described, strict=True), cells, strict=True
        ):
            column = columns.setdefault(key, Column(*key))
            self._values.setdefault(column, {}).setdefault(group, {})[seed] = value
            if main:
                self._main.add(column)

    @property
    def tasks(self) -> list[str]:
        """Tasks with at least one result, in the order of a report."""
        return list(tasks.ordered(column.task for column in self._values if column in self._main))

    def columns(self, task: str, main: bool = True) -> list[Column]:
        """Return the columns of a task, the main metric of each dataset or all, in order of
        appearance.
        """
        return [
            column
            for column in self._values
            if column.task == task and (not main or column in self._main)
        ]

    def summary(self, group: str, column: Column) -> Summary:
        """Return a group's values in one column; empty if there are none."""
        return Summary(self._values.get(column, {}).get(group, {}))

    def average(self, group: str, columns: list[Column]) -> Summary:
        """Return a group's average over columns, at those seeds that have a value in each of
        them.
        """
        key = (group, tuple(columns))
        if key not in self._averages:
            self._averages[key] = self._average(*key)
        return self._averages[key]

    def _average(self, group: str, columns: tuple[Column, ...]) -> Summary:
        per_column = [self.summary(group, column).values for column in columns]
        if not per_column:
            return Summary({})
        seeds = sorted(set.intersection(*(set(values) for values in per_column)))
        table = np.array([[values[seed] for values in per_column] for seed in seeds])
        return Summary(dict(zip(seeds, table.mean(axis=1).tolist(), strict=True)) if seeds else {})

    def ranked(self, columns: list[Column]) -> list[tuple[str, Summary]]:
        """Return the groups that have an average over the columns, the best first."""
        averages = [(group, self.average(group, columns)) for group in self.groups]
        present = [(group, average) for group, average in averages if average.n]
        sign = -1 if columns and columns[0].higher_is_better else 1
        return sorted(present, key=lambda entry: sign * entry[1].mean)
