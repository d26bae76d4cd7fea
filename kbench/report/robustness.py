"""Accuracy under shift against accuracy without it: a figure and a table."""

from kbench import tasks
from kbench.document.numbers import heading, number
from kbench.document.parts import Cell, ReportSection, Table
from kbench.report import footnotes, plots
from kbench.report.analysis import Analysis
from kbench.results.robustness import Shift, effective, shifts
from kbench.results.summary import Summary
from kbench.results.text import mean_sd


def section(analysis: Analysis, figures: bool) -> ReportSection | None:
    """Return the section; None if no shifted sets were scored beside what they are shifted from."""
    every = shifts(analysis.scores)
    if not every:
        return None
    return ReportSection(
        "robustness",
        "Robustness",
        [
            "A variant that is better everywhere is better under a shift too; effective robustness"
            " is what it has beyond that, above the line through the other variants (Taori et al."
            " 2020). Sets that show some of the classes are scored on theirs alone."
        ],
        [plots.robustness(analysis, shift) for shift in every if figures],
        [
            table
            for shift in every
            for table in footnotes.added(analysis, shift.task, [_table(analysis, shift)])
        ],
    )


def _table(analysis: Analysis, shift: Shift) -> Table:
    scores, beyond = analysis.scores, effective(analysis.scores, shift)
    unit, shifted = shift.reference.unit, list(shift.shifted)
    rows = [
        [
            Cell(group),
            _cell(scores.summary(group, shift.reference), unit),
            _cell(scores.average(group, shifted), unit),
            Cell(number(beyond.get(group), unit), beyond.get(group)),
        ]
        for group in scores.groups
    ]
    names = ", ".join(column.dataset for column in shifted)
    caption = (
        f"{heading(tasks.title(shift.task))} {shift.reference.title}, %, on"
        f" {shift.reference.dataset} and, on average, on {names}"
    )
    header = [
        "Variant",
        shift.reference.dataset,
        "Average under shift",
        "Effective robustness, points",
    ]
    notes = [
        "Mean ± sd over training seeds. Effective robustness: of means, from the line through all"
        " other variants in logits; – with fewer than three others."
    ]
    return Table(f"robustness-{shift.suite}-{shift.task}", caption, header, rows, notes)


def _cell(summary: Summary, unit: str) -> Cell:
    return Cell("–") if summary.mean is None else Cell(mean_sd(summary, unit), summary.mean)
