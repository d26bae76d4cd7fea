"""Gap to the optimum against the error of classifiers: what speaks against a common order first,
then a figure and a table.
"""

from kbench import tasks
from kbench.document.numbers import heading, number
from kbench.document.parts import Cell, ReportSection, Table
from kbench.report import plots
from kbench.report.analysis import Analysis
from kbench.report.answer import difference_unit, listed
from kbench.results.downstream import LEAST, Tau, classifiers, decided, gap_task, taus
from kbench.results.pairs import Comparison

MOST_NAMED = 6
"""Pairs of variants that are put into words."""


def section(analysis: Analysis, figures: bool) -> ReportSection | None:
    """Return the section; None with fewer than twenty sets of weights that have both a gap and a
    score as a classifier.
    """
    gap = gap_task(analysis.scores)
    every = {
        task: weights
        for task in (classifiers(analysis.scores) if gap else [])
        if len(weights := analysis.downstream(task)) >= LEAST
    }
    if not every:
        return None
    return ReportSection(
        "downstream",
        "Gap and error downstream",
        [
            *(_contradicted(analysis, gap, task) for task in every),
            "Theory bounds the error of a linear classifier by a sum of which the gap to PMI is one"
            " term (arXiv 2404.19228). A bound orders nothing by itself, and its other terms are"
            " not known here; looked at is whether the smaller gap has the smaller error.",
        ],
        [plots.downstream(analysis, gap, task) for task in every if figures],
        [_table({task: taus(weights) for task, weights in every.items()})],
    )


def _contradicted(analysis: Analysis, gap: str, task: str) -> str:
    """Return what the tests of single pairs of variants say against a common order, and for it."""
    name = tasks.title(task)
    agreeing, contradicting = decided(analysis.comparisons(gap), analysis.comparisons(task))
    number_of = len(agreeing) + len(contradicting)
    if not number_of:
        return f"No two variants are ordered by tests both in {tasks.title(gap)} and in {name}."
    pairs = "pair of variants" if number_of == 1 else "pairs of variants"
    counted = (
        f"of {number_of} {pairs} that tests order both by gap and in {name},"
        f" {len(contradicting)} with the higher score on the side of the larger gap"
    )
    if not contradicting:
        return f"Nothing speaks against a common order in {name}: {counted}."
    widest = sorted(contradicting, key=lambda pair: -abs(pair[1].estimate.value))[:MOST_NAMED]
    first = "" if len(widest) == len(contradicting) else f"; the {MOST_NAMED} widest"
    return (
        f"Against a common order in {name}: {counted}{first}:"
        f" {listed([_pair(*pair) for pair in widest])}."
    )


def _pair(gap: Comparison, score: Comparison) -> str:
    higher = score.first if score.estimate.value > 0 else score.second
    lower = score.second if score.estimate.value > 0 else score.first
    return f"{higher} is {_size(score)} above {lower} with a gap that is {_size(gap)} larger"


def _size(pair: Comparison) -> str:
    column = pair.columns[0]
    return f"{number(abs(pair.estimate.value), column.unit)} {difference_unit(column)}"


def _table(orders: dict[str, dict[str, Tau | None]]) -> Table:
    rows = [
        [Cell(f"{heading(tasks.title(task))} error"), Cell(name), *_cells(value)]
        for task, by_stratum in orders.items()
        for name, value in by_stratum.items()
    ]
    header = ["Error", "Pairs of weights with", "Pairs", "Kendall's tau", "95 % interval"]
    notes = [
        "Tau: the share of pairs in which the smaller gap has the smaller error, less the share in"
        " which it has the larger one; 1 is a common order, 0 none. Pairs are of different"
        " variants. The interval is over the choice of variants and of training seeds (2,000"
        " resamples), and too narrow with few variants: see docs/statistics.md."
    ]
    return Table("downstream-tau", "Order of gap and error", header, rows, notes, text_columns=2)


def _cells(value: Tau | None) -> list[Cell]:
    if value is None:
        return [Cell("0", 0), Cell("–"), Cell("–")]
    low, high = (number(end, "correlation") for end in (value.low, value.high))
    return [
        Cell(f"{value.pairs:,}", value.pairs),
        Cell(number(value.value, "correlation"), value.value),
        Cell(f"{low} to {high}", value.low),
    ]
