"""What each variant of each experiment scored, in what it took to train it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from kbench import similarity
from kbench.errors import UserError
from kbench.experiment.schema import Evaluation, RunConfig
from kbench.plan import work
from kbench.report.analysis import Analysis
from kbench.results.summary import Column, Summary


@dataclass(frozen=True)
class Standing:
    """One variant of one experiment in one column.

    interval: 95 %, over training seeds and test samples; operations: floating-point ones of the
    towers in one training; None where they are not known.
    """

    experiment: str
    variant: str
    similarity: str
    corpus: str
    column: Column
    summary: Summary
    interval: tuple[float, float] | None
    operations: float | None


def of(analysis: Analysis) -> list[Standing]:
    """Return every variant's standing in the main metric of every task and dataset of an
    experiment.
    """
    columns = [column for task in analysis.tasks for column in analysis.columns(task)]
    standings = []
    for group in analysis.scores.groups:
        runs = analysis.runs_of(group)
        configuration = next(filter(None, map(analysis.store.config, runs)), {})
        result = next(result for result in analysis.store.results if result.run in runs)
        operations = _operations(analysis, group, configuration)
        standings += [
            Standing(
                analysis.store.experiment.name,
                group,
                configuration.get("similarity", _named(result.variant, group)),
                _corpus(configuration) if configuration else result.corpus,
                column,
                summary,
                analysis.interval(group, [column]),
                operations,
            )
            for column in columns
            if (summary := analysis.scores.summary(group, column)).n
        ]
    return standings


def _named(variant: str, group: str) -> str:
    """Return the similarity of a variant without a configuration: what it is called, if that is
    one, or else its group.
    """
    return variant if variant in similarity.names() else group


def _corpus(configuration: dict) -> str:
    return (configuration.get("corpus") or {}).get("name", "not kbench's")


def best_first(standings: Iterable[Standing]) -> list[Standing]:
    """Return standings of one column by their means."""

    def rank(standing: Standing) -> float:
        return -standing.summary.mean if standing.column.higher_is_better else standing.summary.mean

    return sorted(standings, key=rank)


def front(standings: Iterable[Standing]) -> Iterator[Standing]:
    """Yield those of one column that no other betters with as few operations or fewer, by
    operations.
    """
    best = None
    known = [standing for standing in standings if standing.operations]
    for standing in sorted(best_first(known), key=lambda one: one.operations):
        if best is None or best_first([best, standing])[0] is standing:
            best = standing
            yield standing


def by_column(standings: Iterable[Standing]) -> dict[Column, list[Standing]]:
    """Return standings by what they are scored on, in order of appearance."""
    columns: dict[Column, list[Standing]] = {}
    for standing in standings:
        columns.setdefault(standing.column, []).append(standing)
    return columns


def _operations(analysis: Analysis, group: str, configuration: dict) -> float | None:
    """Return the operations of one training, counted on the model; None of a model that was trained
    elsewhere, or of a configuration or similarity that is not known here.
    """
    cards = analysis.cards_of(group)
    if not cards:
        return None
    evaluation = analysis.store.experiment.experiment.get("evaluation")
    try:
        config = RunConfig.model_validate(configuration)
        return work.of(config, Evaluation.model_validate(evaluation)).training * cards[0].samples
    except (ValidationError, UserError):
        return None
