"""A task over several datasets at once: scores above chance, mean ranks, the share of wins."""

import numpy as np

from kbench import tasks
from kbench.document.numbers import heading, number
from kbench.document.parts import Cell, Figure, Table, variant
from kbench.report import plots
from kbench.report.analysis import REFERENCE, Analysis
from kbench.results import datasets
from kbench.results.datasets import Interval, Overall
from kbench.results.summary import Column

Scores = dict[str, np.ndarray]


def parts(analysis: Analysis, task: str, figures: bool) -> tuple[list[Table], list[Figure]]:
    """Return the table and the figure of a task's datasets together; nothing of few datasets, of
    metrics that are no shares, of a single variant, or of different embedding dimensions.
    """
    columns = analysis.columns(task)
    scores = _scores(analysis, columns)
    shares = all(column.unit == "fraction" for column in columns)
    enough = len(columns) >= datasets.FEWEST_DATASETS and len(scores) > 1
    if not shares or not enough or analysis.lines:
        return [], []
    ranking = datasets.ranking(scores)
    drawn = [plots.ranks(task, datasets.mean_ranks(scores), ranking)] if figures and ranking else []
    return [_table(analysis, task, columns, scores, ranking)], drawn


def _scores(analysis: Analysis, columns: list[Column]) -> Scores:
    """Return the (S, D) scores of each group that has all datasets at some seed, as shares of the
    way from chance.
    """
    chance = [column.chance for column in columns]
    complete = {}
    for group in analysis.scores.groups:
        trainings = list(analysis.scores.average(group, columns).values)
        if trainings:
            of = [analysis.scores.summary(group, column).values for column in columns]
            table = np.array([[values[seed] for values in of] for seed in trainings])
            complete[group] = datasets.above_chance(table, chance)
    return complete


def _table(
    analysis: Analysis,
    task: str,
    columns: list[Column],
    scores: Scores,
    ranking: datasets.Ranking | None,
) -> Table:
    reference = _reference(analysis, scores)
    rows = [_row(overall) for overall in datasets.overall(scores, reference)]
    above = " above chance" if None not in [column.chance for column in columns] else ""
    header = [
        "Variant",
        f"Mean{above}, %",
        f"Interquartile mean{above}, % [95 % interval]",
        "Mean rank",
        f"Beats {reference}, % [95 % interval]",
    ]
    metrics = " and ".join(dict.fromkeys(column.title for column in columns))
    caption = f"{heading(tasks.title(task))} over {len(columns)} datasets, {metrics}"
    return Table(f"datasets-{task}", caption, header, rows, _notes(above, ranking))


def _reference(analysis: Analysis, scores: Scores) -> str:
    """Return what the others are held against: what the experiment's question names, cosine, or the
    first.
    """
    asked = analysis.question.reference if analysis.question else REFERENCE
    return asked if asked in scores else next(iter(scores))


def _row(overall: Overall) -> list[Cell]:
    return [
        variant(overall.group),
        Cell(number(overall.mean, "fraction"), overall.mean),
        _interval(overall.interquartile_mean),
        Cell(f"{overall.rank:.1f}", overall.rank),
        _interval(overall.beats) if overall.beats else Cell("–"),
    ]


def _interval(seen: Interval) -> Cell:
    value, low, high = (number(end, "fraction") for end in (seen.value, seen.low, seen.high))
    return Cell(f"{value} [{low}, {high}]", seen.value)


def _notes(above: str, ranking: datasets.Ranking | None) -> list[str]:
    notes = [
        "Exploratory. Interquartile mean: of every seed's score on every dataset, without the"
        " lowest and the highest quarter. Beats: how often one training scores higher than one of"
        " the reference on a dataset, a tie being half. Intervals: bootstrap over datasets and"
        " seeds; with few seeds they are too narrow."
    ]
    if above:
        notes.append("Above chance: 0 is guessing, 100 is perfect, on each dataset.")
    if ranking:
        notes.append(
            f"Mean ranks differ with p = {ranking.p:.2g} (Friedman's test); two of them are told"
            f" apart at 5 % from a difference of {ranking.critical_difference:.1f} on (Nemenyi)."
            " The same trainings are scored on all datasets: this is about these models, and what"
            " other seeds would change is in the pairs."
        )
    return notes
