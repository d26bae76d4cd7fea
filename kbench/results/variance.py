"""Where the spread of a score comes from: training seed, test images, both together, random-feature
draw.

The scores of single test images at several seeds are a crossed design, y[s, i] = mean + seed[s] +
image[i] + rest[s, i], whose components are estimated by the analysis of variance (Searle, Casella
and McCulloch, Variance Components, 1992; with balanced data it equals REML where no component is
cut off at 0). `rest` is what a training and an image have together: which of the images this
training gets right. All components are given as variances of one run's score, a mean over N images,
averaged over datasets first and cut off at 0 once.

The interval of the seeds' component takes the mean square between seeds, with S - 1 degrees of
freedom, however many datasets share the trainings, and the rest, with (S - 1)(N - 1), as known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from kbench import tasks
from kbench.results.pairs import Pairs
from kbench.results.store import Store
from kbench.results.summary import Column, Scores

LEVEL = 0.05


@dataclass(frozen=True)
class Spread:
    """A standard deviation with its 95 % interval, in the metric's unit."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Sources:
    """Standard deviations of one run's score by source, in the metric's unit, over datasets; None
    where unknown.
    """

    training: Spread | None  # between training seeds; None with one seed
    together: float | None  # of a training and an image together; None with one seed
    draw: float | None  # between random-feature draws of one trained model
    images: float | None  # by the choice of test images; with one seed, `together` is in it


@dataclass(frozen=True)
class Components:
    """Variances of one run's score on one dataset; those of components may be below 0.

    between: of the seeds' scores; together, draws: what of that is the rest's, and the draws' of
    random features; draw: of a single draw.
    """

    between: float | None
    together: float | None
    draws: float
    draw: float | None
    images: float | None


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
        self._sources: dict[tuple[str, tuple[Column, ...]], Sources] = {}

    def split(self, group: str, columns: Sequence[Column]) -> Sources:
        """Return the standard deviations of a group's score, root mean square over columns."""
        key = (group, tuple(columns))  # a table and a figure ask for the same
        if key not in self._sources:
            self._sources[key] = self._split(group, columns)
        return self._sources[key]

    def _split(self, group: str, columns: Sequence[Column]) -> Sources:
        there = [column for column in columns if self._scores.summary(group, column).values]
        parts = [self.components(group, column) for column in there]
        seeds = min((self._scores.summary(group, column).n for column in there), default=0)
        known = [part for part in parts if part.between is not None]
        return Sources(
            _training(known, seeds) if known else None,
            _root([part.together for part in parts]),
            _root([part.draw for part in parts]),
            _root([part.images for part in parts]),
        )

    def components(self, group: str, column: Column) -> Components:
        """Return the variances of a group's score in one column."""
        values = self._scores.summary(group, column).values
        entries = [
            self._metrics[group, seed, column.task, column.dataset, column.metric]
            for seed in values
        ]
        drawn = [metric.draws for _, metric in entries if len(metric.draws) > 1]
        of_draws = [np.var(draws, ddof=1) for draws in drawn]
        of_means = [one / len(draws) for one, draws in zip(of_draws, drawn, strict=True)]
        draw = float(np.mean(of_draws)) if drawn else None
        draws = float(np.mean(of_means)) if drawn else 0.0
        several = len(values) > 1
        between = float(np.var(list(values.values()), ddof=1)) if several else None
        singles = [self._pairs.sample(group, seed, column) for seed in values]
        if all(scores is not None and len(scores) == len(singles[0]) for scores in singles):
            together, images = crossed(np.stack(singles))
            return Components(between, together, draws, draw, images)
        sizes = [result.n_test for result, _ in entries]
        return Components(between, None, draws, draw, _binomial(column, values.values(), sizes))


def crossed(scores: np.ndarray) -> tuple[float | None, float | None]:
    """Return the variances that the rest and the images give a mean over the N images of (S, N)
    scores; of one seed, None and what the images and the rest give together.
    """
    seeds, images = scores.shape
    if images < 2:
        return None, None
    of_images = float(scores.mean(axis=0).var(ddof=1)) / images
    if seeds == 1:
        return None, of_images
    rest = scores - scores.mean(axis=0) - scores.mean(axis=1, keepdims=True) + scores.mean()
    together = float((rest**2).sum()) / ((seeds - 1) * (images - 1)) / images
    return together, of_images - together / seeds


def _training(parts: Sequence[Components], seeds: int) -> Spread:
    """Return the spread that is due to trainings, of components that know it, at S seeds."""
    between = float(np.mean([part.between for part in parts]))
    others = float(np.mean([(part.together or 0.0) + part.draws for part in parts]))
    scaled = (seeds - 1) * between / stats.chi2.isf([LEVEL / 2, 1 - LEVEL / 2], seeds - 1)
    low, high = np.sqrt(np.maximum(0.0, scaled - others))
    return Spread(float(np.sqrt(max(0.0, between - others))), float(low), float(high))


def _root(variances: Sequence[float | None]) -> float | None:
    known = [variance for variance in variances if variance is not None]
    return float(np.sqrt(max(0.0, np.mean(known)))) if known else None


def _binomial(column: Column, values: Sequence[float], sizes: Sequence[int]) -> float | None:
    """Return the variance by test images of plain fractions, of which single scores are not
    known.
    """
    measure = tasks.measure(column.task, column.metric)
    if measure is None or not measure.share_of_samples:
        return None
    return float(np.mean([value * (1 - value) / n for value, n in zip(values, sizes, strict=True)]))
