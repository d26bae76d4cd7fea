"""Numbers and summaries as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbench.results.store import Store
from kbench.results.summary import TASKS, Column, Scores, Summary

if TYPE_CHECKING:
    import pandas

TASK_NAMES = {
    "zeroshot": "zero-shot",
    "linear_probe": "linear probe",
    "retrieval": "retrieval",
    "pmi_gap": "PMI gap",
}
# Metrics of the linear probe on features before the towers' projection end so.
BEFORE_PROJECTION = "_before_projection"
METRIC_NAMES = {
    "acc1": "top-1 accuracy",
    "acc5": "top-5 accuracy",
    "mean_per_class_recall": "mean per-class accuracy",
    "excess_loss": "excess loss",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "rmse": "RMSE",
}


def metric_name(metric: str) -> str:
    """Return a metric's name for people: 'image recall@1' for image_retrieval_recall@1."""
    plain = metric.removesuffix(BEFORE_PROJECTION)
    name = METRIC_NAMES.get(plain, plain.replace("_retrieval_recall@", " recall@").replace("_", " "))
    return f"{name} before projection" if plain != metric else name


def heading(text: str) -> str:
    """Return text with its first letter in upper case and the others as they are."""
    return text[:1].upper() + text[1:]


def number(value: float | None, unit: str) -> str:
    """Return a value in its unit's usual form: fractions as percent with one decimal, else three decimals."""
    if value is None:
        return "–"
    scaled, digits = (100 * value, 1) if unit == "fraction" else (value, 3)
    # Adding zero turns a rounded -0.0 into 0.0.
    return f"{round(scaled, digits) + 0.0:.{digits}f}".replace("-", "−")


def mean_sd(summary: Summary, unit: str) -> str:
    """Return 'mean ± sd', the mean alone at one seed, or a dash without values."""
    if summary.sd is None:
        return number(summary.mean, unit)
    return f"{number(summary.mean, unit)} ± {number(summary.sd, unit)}"


def unit_name(unit: str) -> str:
    """Return what to write behind a number of a unit."""
    return {"fraction": "%", "nats": "nats", "correlation": ""}[unit]


def summary(store: Store, table: pandas.DataFrame) -> str:
    """Return a short account of an experiment: completeness, then each variant's averages by task."""
    scores = Scores(table)
    tasks = [(task, columns) for task in TASKS if (columns := scores.columns(task))]
    lines = [
        f"{store.experiment.name}: {len(store.results)} of {store.expected} results, "
        f"{len(store.experiment.runs)} runs, mean ± sd over seeds"
    ]
    if tasks:
        header = ["variant", "seeds", *(_heading(task, columns) for task, columns in tasks)]
        lines += _aligned([header, *(_line(scores, group, tasks) for group in scores.groups)])
    lines += store.mixture_notes
    lines += [f"left out, no longer part of the experiment: {run}" for run in store.stale]
    jobs = dict.fromkeys(missing.job for missing in store.missing)
    return "\n".join(lines + [f"missing: {job}" for job in jobs])


def _heading(task: str, columns: list[Column]) -> str:
    unit = unit_name(columns[0].unit)
    datasets = f"{len(columns)} datasets" if len(columns) > 1 else columns[0].dataset
    return f"{TASK_NAMES[task]}, {unit or metric_name(columns[0].metric)} ({datasets})"


def _line(scores: Scores, group: str, tasks: list[tuple[str, list[Column]]]) -> list[str]:
    averages = [(scores.average(group, columns), columns[0].unit) for _, columns in tasks]
    seeds = max(average.n for average, _ in averages)
    return [group, str(seeds), *(mean_sd(average, unit) for average, unit in averages)]


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
