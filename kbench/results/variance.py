"""Where the spread of a score comes from: training seed, random-feature draw, choice of test
images.
"""

from dataclasses import dataclass

import numpy as np

from kbench import tasks
from kbench.results.pairs import Pairs
from kbench.results.store import Store
from kbench.results.summary import Column, Scores


@dataclass(frozen=True)
class Sources:
    """Standard deviations of one run's score by source, in the metric's unit; None where
    unknown.
    """

    group: str
    column: Column
    training: float | None  # between training seeds, the draws' part taken out; None with one seed
    # Between random-feature draws of one trained model; None with fewer than two draws.
    draw: float | None
    sampling: float | None  # by the choice of the N test images


class Variance:
    """Splits the variance of each score of an experiment."""

    def __init__(self, store: Store, scores: Scores, pairs: Pairs, groups: dict[str, str]) -> None:
        """`groups` maps each run to the name of its group."""
        self._scores = scores
        self._pairs = pairs
        self._metrics = {
            (groups[result.run], result.seed, result.task, result.dataset, metric.name): (
                result,
                metric,
            )
            for result in store.results
            for metric in result.metrics
        }

    def split(self, group: str, column: Column) -> Sources:
        """Return the standard deviations of a group's score in one column."""
        summary = self._scores.summary(group, column)
        entries = [
            self._metrics[group, seed, column.task, column.dataset, column.metric]
            for seed in summary.values
        ]
        draws = [np.var(metric.draws, ddof=1) for _, metric in entries if len(metric.draws) > 1]
        of_means = [
            np.var(metric.draws, ddof=1) / len(metric.draws)
            for _, metric in entries
            if len(metric.draws) > 1
        ]
        training = None
        if summary.sd is not None:
            training = float(
                np.sqrt(max(0.0, summary.sd**2 - (np.mean(of_means) if of_means else 0.0)))
            )
        return Sources(
            group,
            column,
            training,
            float(np.sqrt(np.mean(draws))) if draws else None,
            self._sampling(group, column, [result.n_test for result, _ in entries]),
        )

    def _sampling(self, group: str, column: Column, sizes: list[int]) -> float | None:
        """Return the sd by test images: from single images' scores, else binomial for plain
        fractions.
        """
        values = self._scores.summary(group, column).values
        images = [self._pairs.sample(group, seed, column) for seed in values]
        if values and all(scores is not None for scores in images):
            return float(np.sqrt(np.mean([scores.var(ddof=1) / len(scores) for scores in images])))
        measure = tasks.measure(column.task, column.metric)
        if not values or measure is None or not measure.share_of_samples:
            return None
        binomial = [
            value * (1 - value) / size for value, size in zip(values.values(), sizes, strict=True)
        ]
        return float(np.sqrt(np.mean(binomial)))
