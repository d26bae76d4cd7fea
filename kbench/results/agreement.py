"""Whole published tables against ours: mean difference, order of the variants, and 'A better than B
on average'.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy import stats

from kbench.results.matching import same_name
from kbench.results.pairs import Comparison, Pairs
from kbench.results.summary import Column, Scores
from kbench.results.verdicts import Verdict


@dataclass(frozen=True)
class TableAgreement:
    """A published table beside ours, over the comparable cells of one objective and unit;
    differences in that unit.
    """

    source: str
    table: str
    task: str
    objective: str
    unit: str
    cells: int
    mean_difference: float  # ours - theirs
    # Spearman's, of the variants' averages; None with fewer than three.
    rank_correlation: float | None


@dataclass(frozen=True)
class Claim:
    """A published 'A better than B on average' and what our runs say to it."""

    source: str
    task: str
    published: float  # A's published average - B's, points
    comparison: Comparison  # ours, A against B

    @property
    def verdict(self) -> str:
        """Return reproduced, contradicted, or open if our difference does not stand out from
        chance.
        """
        if not self.comparison.significant:
            return "open"
        return "reproduced" if self.comparison.estimate.value > 0 else "contradicted"


def tables(verdicts: Iterable[Verdict]) -> list[TableAgreement]:
    """Return the agreement of every published table that has comparable cells."""
    return [_agreement(key, cells) for key, cells in _by_table(verdicts).items()]


def claims(verdicts: Iterable[Verdict], scores: Scores, pairs: Pairs) -> list[Claim]:
    """Return every published order of two variants on the data sets that both have, Holm-corrected
    over all.

    Only of percentages, of which more is better.
    """
    asked = []
    for key, cells in _by_table(verdicts).items():
        source, task, objective = key.source, key.task, key.objective
        if key.unit != "percent":
            continue
        for one, other in combinations(_variants(cells), 2):
            shared = _shared(cells, [one, other])
            columns = _columns(scores, task, shared)
            difference = (
                _average(cells, one, shared) - _average(cells, other, shared) if shared else 0.0
            )
            if difference and len(columns) == len(shared):
                named = [_group(scores, variant, objective) for variant in (one, other)]
                better, worse = named if difference > 0 else reversed(named)
                asked.append((source, task, abs(difference), (better, worse, columns)))
    compared = pairs.chosen([question for *_, question in asked])
    return [
        Claim(source, task, difference, comparison)
        for (source, task, difference, _), comparison in zip(asked, compared, strict=True)
    ]


class _Key(NamedTuple):
    """What the cells of one average have in common."""

    source: str
    table: str
    task: str
    corpus: str
    backbone: str
    objective: str
    unit: str


def _by_table(verdicts: Iterable[Verdict]) -> dict[_Key, list[Verdict]]:
    """Return the comparable verdicts by table; corpora, backbones, objectives and units of one
    table are apart.
    """
    tables: dict[_Key, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.difference is not None:
            key = _Key(*(getattr(verdict.row, name) for name in _Key._fields))
            tables.setdefault(key, []).append(verdict)
    return tables


def _group(scores: Scores, variant: str, objective: str) -> str:
    """Return the name that the scores have for a variant's runs; with its objective where there are
    several.
    """
    return variant if variant in scores.groups else f"{variant}, {objective}"


def _agreement(key: _Key, cells: list[Verdict]) -> TableAgreement:
    shared = _shared(cells, _variants(cells))
    averages = [
        (_average(cells, v, shared), _average(cells, v, shared, ours=True))
        for v in _variants(cells)
    ]
    ranks = None
    if shared and len(averages) > 2:
        ranks = float(stats.spearmanr(*zip(*averages, strict=True)).statistic)
    mean = float(np.mean([cell.difference for cell in cells]))
    return TableAgreement(
        key.source, key.table, key.task, key.objective, key.unit, len(cells), mean, ranks
    )


def _variants(cells: list[Verdict]) -> list[str]:
    return list(dict.fromkeys(cell.row.variant for cell in cells))


def _shared(cells: list[Verdict], variants: list[str]) -> list[tuple[str, str]]:
    """Return the (data set, metric) that all of the variants have."""
    of = {v: {(c.row.dataset, c.row.metric) for c in cells if c.row.variant == v} for v in variants}
    return sorted(set.intersection(*of.values()))


def _average(
    cells: list[Verdict], variant: str, shared: list[tuple[str, str]], ours: bool = False
) -> float:
    values = [
        cell.ours if ours else cell.row.value
        for cell in cells
        if cell.row.variant == variant and (cell.row.dataset, cell.row.metric) in shared
    ]
    return float(np.mean(values)) if values else float("nan")


def _columns(scores: Scores, task: str, shared: list[tuple[str, str]]) -> tuple[Column, ...]:
    columns = scores.columns(task, main=False)

    def named(dataset: str, metric: str) -> list[Column]:
        of_metric = (column for column in columns if column.metric == metric)
        return [column for column in of_metric if same_name(column.dataset, dataset)]

    return tuple(column for cell in shared for column in named(*cell))
