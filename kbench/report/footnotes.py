"""What every table of scores and comparisons must say below it: what its numbers rest on."""

from collections.abc import Callable
from dataclasses import replace

from kbench import tasks
from kbench.document.parts import Cell, Table
from kbench.report.analysis import Analysis
from kbench.report.answer import listed
from kbench.report.tuning import budget

UNTUNED = "No settings were searched for: the variants share one untuned setting."
MARK = "†"
"""Behind a variant's name, or its number, where something below the table is about it."""

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
    note = " ".join(parts)
    return [_marked(analysis, replace(table, notes=[*table.notes, note])) for table in tables]


def marked(analysis: Analysis, group: str, text: str) -> str:
    """Return a group's name or number with the mark, if something has to be said of the group."""
    return text + MARK if group in analysis.reservations else text


def _marked(analysis: Analysis, table: Table) -> Table:
    """Return a table in which variants' names have the mark where they need it, and its meaning
    below.
    """
    rows = [[_named(analysis, cell) for cell in row] for row in table.rows]
    shown = any(MARK in cell.text for row in rows for cell in row)
    notes = [*table.notes, *_reservations(analysis)] if shown else table.notes
    return replace(table, rows=rows, notes=notes)


def _named(analysis: Analysis, cell: Cell) -> Cell:
    return cell._replace(text=marked(analysis, cell.text, cell.text))


def _reservations(analysis: Analysis) -> list[str]:
    """Return what is to be said of the marked variants, those of which the same is together."""
    alike: dict[str, list[str]] = {}
    for group, sentences in analysis.reservations.items():
        alike.setdefault("; ".join(sentences), []).append(group)
    return [f"{MARK} {listed(groups)}: {said}." for said, groups in alike.items()]


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
