"""What every table of scores and comparisons must say below it: what its numbers rest on."""

from collections.abc import Callable
from dataclasses import replace

from kbench import tasks
from kbench.document.parts import Table
from kbench.report.analysis import Analysis
from kbench.report.tuning import budget

UNTUNED = "No settings were searched for: the variants share one untuned setting."
RULES = {
    "last": "the last one",
    "held-out": "that of the lowest loss on held-out pairs",
    "imported": "that of the imported model",
    "test-column": "the best on the reported test column, as in the released code: optimistic",
}


def of_each(analysis: Analysis, table: Callable[[Analysis, str], Table]) -> list[Table]:
    """Return the table of every task that ranks the variants, with its note."""
    tables = [added(analysis, task, [table(analysis, task)]) for task in ranked(analysis)]
    return [table for of_task in tables for table in of_task]


def ranked(analysis: Analysis) -> list[str]:
    """Return the tasks in which some variant has a score."""
    return [task for task in analysis.tasks if analysis.scores.ranked(analysis.columns(task))]


def added(analysis: Analysis, task: str, tables: list[Table]) -> list[Table]:
    """Return the tables of a task with a note on how settings and checkpoints were chosen, and what
    is mixed.
    """
    parts = [
        _settings(analysis),
        *_checkpoints(analysis),
        *analysis.store.mixture_notes,
        *_of_task(analysis, task),
    ]
    return [replace(table, notes=[*table.notes, " ".join(parts)]) for table in tables]


def _settings(analysis: Analysis) -> str:
    tuning = analysis.store.tuning
    if not tuning:
        return UNTUNED
    untuned = [name for name in analysis.store.experiment.variants if name not in tuning.variants]
    left = f" Not searched: {', '.join(untuned)}." if untuned else ""
    return f"Settings were searched for on held-out data. {budget(analysis)}{left}"


def _of_task(analysis: Analysis, task: str) -> list[str]:
    """Return what a task says of its own results."""
    declared = tasks.find(task)
    return (
        declared.notes([result for result in analysis.store.results if result.task == task])
        if declared
        else []
    )


def _checkpoints(analysis: Analysis) -> list[str]:
    """Return by which rule the scored checkpoints were chosen, one phrase a rule."""
    seen = list(dict.fromkeys(result.selection for result in analysis.store.results))
    return (
        [f"Checkpoint scored: {' or '.join(RULES.get(rule, rule) for rule in seen)}."]
        if seen
        else []
    )
