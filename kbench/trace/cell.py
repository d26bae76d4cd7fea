"""The rows behind one cell of a table of scores."""

from dataclasses import dataclass
from pathlib import Path

from kbench.errors import UserError, unknown
from kbench.results import table
from kbench.results.mixture import document_path
from kbench.results.store import Store
from kbench.results.summary import Column, Scores, Summary


@dataclass(frozen=True)
class TableCell:
    """A variant's score in one column, and the documents whose values it is the mean of, by
    seed.
    """

    variant: str
    column: Column
    summary: Summary
    documents: dict[int, Path]


def find(
    store: Store, variant: str, dataset: str, metric: str | None = None, task: str | None = None
) -> TableCell:
    """Return the cell of a variant on a dataset; without a metric, the dataset's main one.

    UserError for a name that the table has not, or where several tasks have the metric and none is
    given.
    """
    frame = table.frame(store)
    scores = Scores(frame)
    if variant not in scores.groups:
        raise unknown("variant", variant, scores.groups)
    tasks = list(dict.fromkeys(frame["task"].dropna()))
    if task is not None and task not in tasks:
        raise unknown("task", task, tasks)
    every = [column for name in tasks for column in scores.columns(name, main=metric is None)]
    if dataset not in {column.dataset for column in every}:
        raise unknown("dataset", dataset, sorted({column.dataset for column in every}))
    here = [column for column in every if column.dataset == dataset]
    if metric is not None and metric not in {column.metric for column in here}:
        raise unknown(f"metric of {dataset}", metric, sorted({column.metric for column in here}))
    chosen = [
        column
        for column in here
        if column.metric == (metric or column.metric) and column.task == (task or column.task)
    ]
    if len(chosen) != 1:
        named = ", ".join(f"{column.task} {column.metric}" for column in chosen)
        raise UserError(
            f"{variant} on {dataset} has {len(chosen)} such cells ({named}): give --task"
        )
    [column] = chosen
    rows = frame[
        (table.label(frame) == variant)
        & (frame["dataset"] == dataset)
        & (frame["task"] == column.task)
    ]
    rows = rows[rows["metric"] == column.metric]
    documents = {
        int(seed): document_path(store.folder, run, dataset, column.task)
        for run, seed in zip(rows["run"], rows["seed"], strict=True)
    }
    return TableCell(variant, column, scores.summary(variant, column), documents)
