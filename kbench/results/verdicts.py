"""Our numbers beside published ones: agrees, higher, lower, or why the two must not be compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from kbench.results import published
from kbench.results.schema import PublishedRow, TaskResult
from kbench.results.store import Store

NOT_COMPARABLE = "not comparable"
TASKS = {"zeroshot", "linear_probe", "retrieval", "pmi_gap"}


@dataclass(frozen=True)
class Verdict:
    """A published row, what is ours for the same cell, and whether the two agree; in percent and points."""

    row: PublishedRow
    status: str  # agrees, higher, lower, not comparable, published value not imported
    reasons: tuple[str, ...] = ()  # why not comparable
    caveats: tuple[str, ...] = ()  # what the interval does not cover
    ours: float | None = None
    seeds: int = 0
    difference: float | None = None  # ours - theirs
    low: float | None = None
    high: float | None = None


def verdicts(store: Store, rows: list[PublishedRow]) -> list[Verdict]:
    """Return one verdict for each published row."""
    return [_verdict(store.results, row) for row in rows]


def _verdict(results: tuple[TaskResult, ...], row: PublishedRow) -> Verdict:
    cell = [result for result in results if _same_cell(result, row)]
    same = [result for result in cell if not _differences(result, row)]
    values = [value for result in same or cell if (value := _value(result, row.metric)) is not None]
    ours = float(np.mean(values)) if values else None
    reasons = [
        *_setting_reasons(same or cell or results, row),
        *([] if cell else _cell_reasons(results, row)),
    ]
    if reasons or not values:
        return Verdict(row, NOT_COMPARABLE, tuple(reasons or ["not measured yet"]), (), ours, len(values))
    if row.value is None:
        return Verdict(row, published.NOT_IMPORTED, (), (), ours, len(values))
    return _judged(row, np.array(values), same[0].n_test)


def _judged(row: PublishedRow, values: np.ndarray, n_test: int) -> Verdict:
    """Compare values of S seeds, in percent, with a published one.

    Variance of the difference: var over seeds / S + p (100 - p) / n_test for our test images + the published
    sd squared where there is one. The interval uses S - 1 degrees of freedom, or the normal law at one seed.
    """
    seeds, mean = len(values), float(values.mean())
    variance = mean * (100 - mean) / n_test + (row.std or 0.0) ** 2
    if seeds > 1:
        variance += values.var(ddof=1) / seeds
    quantile = stats.t.ppf(0.975, seeds - 1) if seeds > 1 else stats.norm.ppf(0.975)
    difference, half = mean - row.value, float(quantile * np.sqrt(variance))
    low, high = difference - half, difference + half
    status = "higher" if low > 0 else "lower" if high < 0 else "agrees"
    return Verdict(row, status, (), _caveats(row, seeds), mean, seeds, difference, low, high)


def _caveats(row: PublishedRow, seeds: int) -> tuple[str, ...]:
    caveats = []
    if seeds == 1:
        caveats.append("one seed: the variation between trainings of ours is unknown")
    if row.std is None:
        caveats.append("no published sd: the variation of theirs is unknown")
    if row.epochs is None:
        caveats.append("the source does not state its epochs")
    return tuple(caveats)


def _setting_reasons(results: Sequence[TaskResult], row: PublishedRow) -> list[str]:
    """Return how the published setting differs from that of the nearest of our results."""
    about = published.sources().get(row.source)
    reasons = []
    if results:
        nearest = min(results, key=lambda result: len(_differences(result, row)))
        reasons = [f"{what} {theirs}, here {ours}" for what, theirs, ours in _differences(nearest, row)]
    if row.task in TASKS and about and about.evaluation:
        reasons.append(f"evaluated by {about.evaluation}")
    return reasons


def _cell_reasons(results: tuple[TaskResult, ...], row: PublishedRow) -> list[str]:
    """Return what of the cell itself the experiment does not have."""
    if row.task not in TASKS:
        return [f"task {row.task} is not measured here" + (f" ({row.note})" if row.note else "")]
    reasons = []
    if row.variant not in {result.variant for result in results}:
        reasons.append(f"variant {row.variant} is not trained here")
    if not any(same_name(result.dataset, row.dataset) for result in results):
        reasons.append("dataset is not evaluated here")
    return reasons or [f"no {row.task} {row.metric} here"]


def _same_cell(result: TaskResult, row: PublishedRow) -> bool:
    return (
        (result.variant, result.task) == (row.variant, row.task)
        and same_name(result.dataset, row.dataset)
        and any(metric.name == row.metric for metric in result.metrics)
    )


def _differences(result: TaskResult, row: PublishedRow) -> list[tuple[str, str, str]]:
    """Return (what, theirs, ours) for each part of the setting that differs."""
    about = published.sources().get(row.source)
    settings = [
        ("corpus", row.corpus, result.corpus),
        ("backbone", row.backbone, result.backbone),
        ("epochs", None if row.epochs is None else f"{row.epochs:g}", f"{result.epochs:g}"),
        ("checkpoint selection", about.selection if about else None, result.selection),
    ]
    return [
        (what, theirs, ours) for what, theirs, ours in settings if theirs is not None and not same_name(theirs, ours)
    ]


def _value(result: TaskResult, metric: str) -> float | None:
    value = next(entry.value for entry in result.metrics if entry.name == metric)
    return None if value is None else 100 * value


def same_name(one: str, other: str) -> bool:
    """Return whether two names differ in nothing but what differs between projects: 'ViT-B/16' and 'vit-b-16'."""
    return _name(one) == _name(other)


def _name(text: str) -> str:
    return text.casefold().removeprefix("wds/").replace("/", "-").replace("_", "-")
