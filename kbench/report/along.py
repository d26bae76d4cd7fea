"""Scores along the training: a figure and a table of every task, where weights were kept on the
way.
"""

from kbench import tasks
from kbench.document.numbers import heading, unit_name
from kbench.document.parts import Cell, ReportSection, Table
from kbench.report import footnotes, plots
from kbench.report.analysis import Analysis
from kbench.report.answer import over
from kbench.results.summary import Summary
from kbench.results.text import mean_sd


def section(analysis: Analysis, figures: bool) -> ReportSection | None:
    """Return the section; None if only the last weights of each run were kept."""
    if not analysis.along:
        return None
    return ReportSection(
        "along",
        "Along the training",
        [
            "Weights that were kept on the way are scored as the last ones are. An order of the"
            " variants that changes along the training is no ranking of the methods."
        ],
        [plots.along(analysis, task) for task in footnotes.ranked(analysis) if figures],
        footnotes.of_each(analysis, _table),
    )


def _table(analysis: Analysis, task: str) -> Table:
    columns, groups = analysis.columns(task), analysis.scores.groups
    unit = unit_name(columns[0].unit)
    rows = [
        [
            Cell(f"{samples:,}", samples),
            *(_cell(scores.average(group, columns), columns[0].unit) for group in groups),
        ]
        for samples, scores in analysis.along.items()
    ]
    caption = (
        f"{heading(tasks.title(task))} {columns[0].title}{', ' + unit if unit else ''},"
        f" {over(columns)}, by image-text pairs seen"
    )
    notes = ["Mean ± sd over training seeds."]
    return Table(f"along-{task}", caption, ["Pairs seen", *groups], rows, notes)


def _cell(average: Summary, unit: str) -> Cell:
    return Cell("–") if average.mean is None else Cell(mean_sd(average, unit), average.mean)
