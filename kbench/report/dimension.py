"""Scores against the embedding dimension: the figure's section, its table, and the answer's
sentence.
"""

from kbench import tasks
from kbench.document.numbers import heading, number, unit_name
from kbench.document.parts import Cell, ReportSection, Table
from kbench.report import footnotes, plots
from kbench.report.analysis import Analysis
from kbench.report.answer import listed, over
from kbench.report.scores import results_filter
from kbench.results.dimension import dimensions, floors
from kbench.results.summary import Column
from kbench.results.text import mean_sd


def section(analysis: Analysis, figures: bool) -> ReportSection | None:
    """Return a figure and a table of every task's score by dimension; None if all runs have the
    same one.
    """
    if not analysis.lines:
        return None
    return ReportSection(
        "dimension",
        "Dimension",
        [
            "Scores that are inner products of d numbers form a matrix of rank d at most; a kernel"
            " of point sets has no such bound. What each similarity loses as d shrinks is seen"
            " here."
        ],
        [plots.dimension(analysis, task) for task in footnotes.ranked(analysis) if figures],
        footnotes.of_each(analysis, _table),
    )


def sentence(analysis: Analysis) -> str:
    """Return the scores of every line at the smallest and the largest dimension, in words."""
    task = analysis.tasks[0]
    columns = analysis.columns(task)
    ends = dimensions(analysis.lines)
    at = [
        f"at embedding dimension {end} {_scores(analysis, columns, end)}"
        for end in (ends[0], ends[-1])
    ]
    unit = unit_name(columns[0].unit)
    what = f"{tasks.title(task)} {columns[0].title}{', ' + unit if unit else ''}"
    better = "higher" if columns[0].higher_is_better else "lower"
    return (
        f"{heading(what)}, {over(columns)} (mean ± sd over seeds, {better} is better):"
        f" {'; '.join(at)}."
    )


def _scores(analysis: Analysis, columns: list[Column], dimension: int) -> str:
    names = {
        line.groups[dimension]: line.name for line in analysis.lines if dimension in line.groups
    }
    ranked = [entry for entry in analysis.scores.ranked(columns) if entry[0] in names]
    scores = [
        f"{names[group]} has {mean_sd(average, columns[0].unit)}" for group, average in ranked
    ]
    return listed(scores) if scores else "there is no result yet"


def _table(analysis: Analysis, task: str) -> Table:
    columns = analysis.columns(task)
    column, header = columns[0], dimensions(analysis.lines)
    rows = [
        [Cell(line.name), *(_cell(analysis, line.groups.get(d), columns) for d in header)]
        for line in analysis.lines
    ]
    below = floors(analysis.lines, task, analysis.corpus)
    rows += [
        [Cell(f"least of {name}"), *(_floor(values.get(d), column.unit) for d in header)]
        for name, values in below.items()
    ]
    unit = unit_name(column.unit)
    caption = (
        f"{heading(tasks.title(task))} {column.title}{', ' + unit if unit else ''}, {over(columns)}"
    )
    notes = [
        "Mean ± sd over training seeds [95 % interval of the mean, over training seeds and the"
        " choice of test samples], by embedding dimension d."
    ]
    if below:
        notes.append(
            "Least: what free vectors of the world's scenes and captions reached without towers"
            " (`kbench floor`); no training can do better in that form."
        )
    return Table(
        f"dimension-{task}", caption, ["Similarity", *(f"d = {d}" for d in header)], rows, notes
    )


def _floor(value: float | None, unit: str) -> Cell:
    return Cell("–") if value is None else Cell(number(value, unit), value)


def _cell(analysis: Analysis, group: str | None, columns: list[Column]) -> Cell:
    if group is None:
        return Cell("–")
    average, unit = analysis.scores.average(group, columns), columns[0].unit
    if average.mean is None:
        return Cell("missing")
    ends = analysis.interval(group, columns)
    between = f" [{number(ends[0], unit)}, {number(ends[1], unit)}]" if ends else ""
    shown = results_filter(group, columns[0]) if len(columns) == 1 else ""
    text = footnotes.marked(analysis, group, mean_sd(average, unit) + between)
    return Cell(text, average.mean, filter=shown)
