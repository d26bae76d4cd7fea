"""Everything computed from an experiment's results that the report shows, each computed once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from kbench import tasks
from kbench.experiment.schema import Primary
from kbench.records.documents import ModelCard
from kbench.results import (
    agreement,
    along,
    dimension,
    downstream,
    primary,
    published,
    reservations,
)
from kbench.results.pairs import Comparison, Pairs, groups_of_runs, groups_of_variants
from kbench.results.store import Store
from kbench.results.summary import Column, Scores
from kbench.results.variance import Variance
from kbench.results.verdicts import Verdict, verdicts

if TYPE_CHECKING:
    import pandas

REFERENCE = "cosine"
MOST_TOLD = 60
"""Pairs of variants that are drawn and put into words; tables have all."""


class Analysis:
    """The statistics of one experiment."""

    def __init__(self, store: Store, table: pandas.DataFrame) -> None:
        """Take the results and their tidy table."""
        self.store = store
        self.table = table
        self.scores = Scores(table)
        self.groups = groups_of_runs(table)
        self.pairs = Pairs(store, self.scores, self.groups)
        self.variance = Variance(store, self.scores, self.pairs, self.groups)
        self.compared: dict[str, list[Comparison]] = {}

    @property
    def tasks(self) -> list[str]:
        """Tasks with at least one result, in the usual order."""
        return self.scores.tasks

    @property
    def corpus(self) -> dict:
        """The experiment's section of that name; empty where nothing is trained."""
        return self.store.experiment.experiment.get("corpus") or {}

    def columns(self, task: str) -> list[Column]:
        """Return the main metric of each dataset of a task."""
        return self.scores.columns(task)

    def runs_of(self, group: str) -> list[str]:
        """Return the runs of a group in the experiment's order."""
        return [run for run in self.store.experiment.runs if self.groups.get(run) == group]

    def cards_of(self, group: str) -> list[ModelCard]:
        """Return the model cards of those of a group's runs that kbench has trained."""
        cards = [self.store.cards[run] for run in self.runs_of(group) if run in self.store.cards]
        return [card for card in cards if card.imported is None]

    @cached_property
    def lines(self) -> list[dimension.Line]:
        """The groups by similarity and embedding dimension; empty if all runs have the same
        dimension.
        """
        first = {group: next(iter(self.runs_of(group)), None) for group in self.scores.groups}
        return dimension.lines(
            {group: self.store.config(run) for group, run in first.items() if run}
        )

    @cached_property
    def along(self) -> dict[int, Scores]:
        """The scores after so many pairs, ascending; empty if no weights along the training were
        kept.
        """
        return {samples: Scores(frame) for samples, frame in along.frames(self.store).items()}

    def downstream(self, task: str) -> list[downstream.Weights]:
        """Return every set of weights with its gap to the optimum and its error in a task: those
        that were kept along the training too.
        """
        of = {group: d for line in self.lines for d, group in line.groups.items()}
        return downstream.weights(self.along or {0: self.scores}, task, of)

    @cached_property
    def reservations(self) -> dict[str, list[str]]:
        """What has to be said of some groups wherever their numbers stand."""
        return reservations.of(self.store, self.scores, self.groups)

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """Our numbers beside published ones."""
        return verdicts(self.store, published.rows())

    @cached_property
    def claims(self) -> list[agreement.Claim]:
        """Published orders of two variants and what our runs say to them."""
        return agreement.claims(self.verdicts, self.scores, self.pairs)

    def interval(self, group: str, columns: list[Column]) -> tuple[float, float] | None:
        """Return the 95 % interval of a group's mean over columns, over training seeds and the
        choice of test samples; None with fewer than two seeds.
        """
        estimate = self.pairs.mean(group, columns)
        if estimate is None:
            return None
        measure = tasks.measure(columns[0].task, columns[0].metric)
        least = -float("inf") if measure is None or measure.least is None else measure.least
        return max(least, estimate.low), max(least, estimate.high)

    @cached_property
    def question(self) -> Primary | None:
        """What the experiment was made to answer, about groups as the tables name them; None if it
        named nothing.
        """
        asked = primary.named(self.store.experiment)
        return asked and primary.about_groups(asked, groups_of_variants(self.table))

    @cached_property
    def primary(self) -> list[Comparison]:
        """The comparisons that the question asks for."""
        if self.question is None:
            return []
        return primary.comparisons(self.question, self.scores, self.pairs)

    def told(self, task: str) -> list[Comparison]:
        """Return the comparisons that are drawn and put into words: all, or where nobody would read
        them, those of the best variant.
        """
        every = self.comparisons(task)
        if len(every) <= MOST_TOLD:
            return every
        best = self.scores.ranked(self.columns(task))[0][0]
        return [pair for pair in every if best in (pair.first, pair.second)]

    def comparisons(self, task: str) -> list[Comparison]:
        """Return all pairs of variants on the average over a task's datasets.

        Where runs differ in their embedding dimension, only variants of the same one are compared.
        """
        if task not in self.compared:
            self.compared[task] = self._comparisons(task)
        return self.compared[task]

    def _comparisons(self, task: str) -> list[Comparison]:
        columns = self.columns(task)
        if not self.lines:
            return self.pairs.on_average(columns)
        ranked = [group for group, _ in self.scores.ranked(columns)]
        return self.pairs.chosen(
            [(*pair, tuple(columns)) for pair in dimension.comparable(self.lines, ranked)]
        )
