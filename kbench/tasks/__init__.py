"""Evaluation tasks: one file each, found by itself here or in workflow/tasks.

A task says which datasets it is for, what it measures, and how the report shows it; nothing else
knows a task by name. Nothing here imports torch: a plan and a report read what a task declares, and
only scoring needs more.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kbench import plugins
from kbench.errors import UserError, unknown

if TYPE_CHECKING:
    from kbench.datasets.dataset import Dataset
    from kbench.tasks.base import Measure, Task

FAMILY = plugins.Family(
    sys.modules[__name__], "task", Path("workflow/tasks"), "kbench.tasks", separator="_"
)


def names() -> list[str]:
    """Return the names of all tasks, sorted."""
    return FAMILY.names()


def get(name: str) -> Task:
    """Return the task `name`; UserError naming the nearest match if there is none."""
    return FAMILY.load(name)()


def default() -> tuple[str, ...]:
    """Return what an experiment is scored by that names no tasks, in the order of a report."""
    return tuple(name for name in own() if get(name).by_default)


def own() -> tuple[str, ...]:
    """Return kbench's own tasks, in the order of a report."""
    components = FAMILY.found().values()
    return ordered(component.name for component in components if component.origin == plugins.OWN)


def ordered(named: Iterable[str]) -> tuple[str, ...]:
    """Return names of tasks in the order of a report, each once; last those that are not there."""

    def place(name: str) -> tuple[float, str]:
        task = find(name)
        return (task.place if task else float("inf"), name)

    return tuple(sorted(set(named), key=place))


def usable() -> list[str]:
    """Return the names of the tasks that can be loaded, sorted."""
    runnable = []
    for name in names():
        with contextlib.suppress(UserError):
            get(name)
            runnable.append(name)
    return runnable


def find(name: str) -> Task | None:
    """Return the task `name`, or None if there is none: results may be of a task that is not in
    this folder.
    """
    return get(name) if name in FAMILY.found() else None


def title(name: str) -> str:
    """Return what a task is called by people; its name if it is not there."""
    task = find(name)
    return task.title if task else name


def measure(task: str, metric: str) -> Measure | None:
    """Return what a task declares of a metric, or None if it or the task is not there."""
    declared = find(task)
    return declared.measures.get(metric) if declared else None


def metric_title(task: str, metric: str) -> str:
    """Return what a metric of a task is called by people: as other tasks call it, or its name, if
    it is not there.
    """
    declared = (measure(name, metric) for name in (task, *own()))
    return next((measured.title for measured in declared if measured), metric)


def chosen(names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the tasks that an evaluation names, the default ones if it names none; UserError for
    an unknown one.
    """
    if names is None:
        return default()
    for name in names:
        if name not in FAMILY.found():
            raise unknown("task", name, FAMILY.names())
    return ordered(names)


def of(dataset: Dataset, names: Sequence[str] | None) -> tuple[str, ...]:
    """Return those of the chosen tasks that a dataset is scored by; UserError if there is none.

    Raises UserError also where none of kbench's tasks and none of these measures the dataset's main
    metric.
    """
    tasks = chosen(names)
    applying = tuple(name for name in tasks if get(name).applies(dataset))
    if not applying:
        raise UserError(
            f"dataset '{dataset.name}' of kind '{dataset.kind}' is scored by none of the tasks"
            f" {', '.join(tasks)}"
        )
    candidates = {*applying, *(name for name in own() if get(name).applies(dataset))}
    legal = sorted({metric for name in candidates for metric in get(name).measures})
    if dataset.main_metric not in legal:
        raise unknown(f"main_metric of dataset '{dataset.name}'", dataset.main_metric, legal)
    return applying


def number(datasets: Iterable[Dataset], names: Sequence[str] | None) -> int:
    """Return how many results a run has on datasets that are scored by the chosen tasks."""
    return sum(len(of(dataset, names)) for dataset in datasets)


def chance(dataset: Dataset, names: Sequence[str] | None = None) -> float | None:
    """Return what guessing scores in a dataset's main metric, as its first task knows it; None if
    it does not.
    """
    declared = (get(name).measures.get(dataset.main_metric) for name in of(dataset, names))
    first = next((measure for measure in declared if measure), None)
    return first.chance(dataset) if first else None
