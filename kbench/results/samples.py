"""Scores of single test samples, whose mean is the reported metric: what paired tests compare."""

from collections.abc import Callable

import numpy as np

from kbench import tasks
from kbench.errors import UserError
from kbench.records.documents import TaskResult
from kbench.results.arrays import Arrays, read
from kbench.results.store import Store
from kbench.tasks.base import Measure


def per_sample(
    store: Store,
    result: TaskResult,
    metric: str,
    declared: Callable[[str, str], Measure | None] = tasks.measure,
) -> np.ndarray | None:
    """Return the (N,) scores of the test samples, averaged over draws, as the task declares them.

    declared: what is known of a task's metric; who asks for many results has it remembered.

    Their mean is the metric. None if the metric is no mean over samples or nothing was stored.
    UserError if the arrays do not give the metric.
    """
    measure = declared(result.task, metric)
    if not (measure and measure.samples):
        return None
    path = store.arrays(result)
    arrays = read(path, measure.needs)
    if not measure.needs <= arrays.keys():
        return None
    try:
        scores = measure.samples(arrays)
    except (ValueError, IndexError) as error:
        raise UserError(f"{path}: its arrays do not fit each other: {error}") from error
    _check(path, result, metric, scores, measure.in_batches)
    return scores


def kept(store: Store, task: str, groups: dict[str, str]) -> dict[str, Arrays]:
    """Return what a task keeps for its part of a report, of each group at the first seed that has
    all of it.

    groups: run -> name of its group.
    """
    arrays_of: dict[str, Arrays] = {}
    declared = tasks.find(task)
    for result in store.results if declared and declared.keeps else ():
        group = groups[result.run]
        if result.task != task or group in arrays_of:
            continue
        arrays = read(store.arrays(result), declared.keeps)
        if len(arrays) == len(declared.keeps):
            arrays_of[group] = arrays
    return arrays_of


def _check(
    path: str, result: TaskResult, metric: str, scores: np.ndarray, in_batches: bool
) -> None:
    reported = next((entry.value for entry in result.metrics if entry.name == metric), None)
    complete = in_batches or len(scores) == result.n_test
    if reported is None or not complete or abs(scores.sum() / len(scores) - reported) > 1e-4:
        raise UserError(
            f"{path} does not belong to the result beside it: it gives {metric} {scores.mean():.4f}"
            f" on {len(scores)} samples, the result says {reported} on {result.n_test}"
        )
