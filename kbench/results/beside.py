"""Two runs of an experiment side by side, cell by cell, with the verdicts that published numbers
get.

Here both sides' trainings and, where they were stored, scores of single test samples are known, so
that a difference is tested as one between two variants is (`results.pairs`): both spreads of
trainings count, and what the samples have in common cancels.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from kbench.records.documents import Metric, TaskResult
from kbench.results import pairs, reproduction, samples
from kbench.results.pairs import LEVEL, Estimate
from kbench.results.store import Store

IDENTICAL, NOT_COMPARABLE, INCONCLUSIVE = "identical", "not comparable", "inconclusive"

SAME = ("corpus", "backbone", "epochs", "selection", "split", "n_test")
"""What of a result has to be the same on both sides."""


class Key(NamedTuple):
    """What a number is of."""

    variant: str
    objective: str
    dataset: str
    task: str
    metric: str


@dataclass(frozen=True)
class Side:
    """One side's results of a cell, by seed, and where they are stored."""

    store: Store
    results: dict[int, TaskResult]

    def metric(self, key: Key, seed: int) -> Metric:
        """Return the measured number."""
        return next(m for m in self.results[seed].metrics if m.name == key.metric)

    def values(self, key: Key) -> dict[int, float | None]:
        """Return the value at each seed."""
        return {seed: self.metric(key, seed).value for seed in self.results}

    def scores(self, key: Key) -> np.ndarray:
        """Return the (S, N) scores of single samples, or (S, 1) values where these are not
        known.
        """
        singles = [
            samples.per_sample(self.store, self.results[seed], key.metric) for seed in self.results
        ]
        if all(single is not None and len(single) == len(singles[0]) for single in singles):
            return np.stack(singles)
        return np.array([[value] for value in self.values(key).values()])


@dataclass(frozen=True)
class Cell:
    """One number of both sides; values as stored, the difference ours - theirs."""

    key: Key
    status: str  # identical, reproduced, higher, lower, inconclusive, not comparable
    ours: float | None = None
    theirs: float | None = None
    seeds: tuple[int, int] = (0, 0)
    estimate: Estimate | None = None
    p_holm: float | None = None
    unit: str = "fraction"
    reasons: tuple[str, ...] = ()


def cells(ours: Store, theirs: Store, margin: float) -> list[Cell]:
    """Return every main metric that either side has; Holm's correction is over all that are
    tested.

    margin: points within which a difference counts as reproduced.
    """
    left, right = _sides(ours), _sides(theirs)
    joined = [_cell(key, left.get(key), right.get(key)) for key in dict.fromkeys([*left, *right])]
    corrected = pairs.holm([cell.estimate and cell.estimate.p for cell in joined])
    return [
        replace(cell, status=_status(cell, p, margin), p_holm=p) if cell.estimate else cell
        for cell, p in zip(joined, corrected, strict=True)
    ]


def _sides(store: Store) -> dict[Key, Side]:
    sides: dict[Key, Side] = {}
    for result in store.results:
        for metric in _main(result):
            key = Key(result.variant, result.objective, result.dataset, result.task, metric.name)
            sides.setdefault(key, Side(store, {})).results[result.seed] = result
    return sides


def _main(result: TaskResult) -> Iterator[Metric]:
    marked = [metric for metric in result.metrics if metric.main]
    yield from marked or result.metrics[:1]


def _cell(key: Key, ours: Side | None, theirs: Side | None) -> Cell:
    """Return a cell as far as one alone can be judged."""
    if ours is None or theirs is None:
        where = "in the first" if ours is None else "in the second"
        return Cell(key, NOT_COMPARABLE, reasons=(f"not {where}",))
    values = [side.values(key) for side in (ours, theirs)]
    means = [_mean(side) for side in values]
    cell = Cell(
        key, INCONCLUSIVE, *means, (len(ours.results), len(theirs.results)), unit=_unit(key, ours)
    )
    if reasons := tuple(_reasons(ours, theirs)):
        return replace(cell, status=NOT_COMPARABLE, reasons=reasons)
    if values[0] == values[1]:
        return replace(cell, status=IDENTICAL)
    if None in means:
        return replace(cell, status=NOT_COMPARABLE, reasons=("undefined",))
    first, second = ours.scores(key), theirs.scores(key)
    if first.shape[1] != second.shape[1]:
        first, second = (
            np.array([[value] for value in side.values()], dtype=float) for side in values
        )
    return replace(cell, estimate=pairs.estimate([(first, second)]))


def _unit(key: Key, side: Side) -> str:
    return side.metric(key, next(iter(side.results))).unit


def _mean(values: dict[int, float | None]) -> float | None:
    return None if None in values.values() else float(np.mean(list(values.values())))


def _reasons(ours: Side, theirs: Side) -> Iterator[str]:
    """Yield what differs in how the two sides were made, so that their numbers must not be
    compared.
    """
    one, other = (next(iter(side.results.values())) for side in (ours, theirs))
    for name in SAME:
        if getattr(one, name) != getattr(other, name):
            yield f"{name} {getattr(other, name)}, here {getattr(one, name)}"
    if one.provenance.dataset_sha256 != other.provenance.dataset_sha256:
        yield "other test data"
    if one.provenance.evaluation != other.provenance.evaluation:
        yield "other evaluation settings"


def _status(cell: Cell, p: float | None, margin: float) -> str:
    """Return the verdict; with one seed on a side, what trainings vary by is not known."""
    if not cell.estimate.covers_training:
        return INCONCLUSIVE
    width = margin / 100 if cell.unit == "fraction" else 0.0
    equivalent = cell.estimate.within(width)
    p = LEVEL if p is None else p
    return str(reproduction.outcome(cell.estimate.value, p, equivalent))
