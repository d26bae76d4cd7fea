"""Comparisons of two variants on the same test images, at their training seeds.

Model for the score of variant v at seed s on image i of a dataset:
    y[v, s, i] = mean[v] + seed[v, s] + image[v, i] + rest[v, s, i]
Both variants see the same images, so that what is common to them cancels in the difference of the
means over seeds and images. Its variance is
    sum over v of (var(seed[v]) + var(rest[v]) / N) / S[v]  +  var(image[1] - image[2]) / N.
The first part, due to trainings, is what the means of single seeds vary by: between two variants
with Welch's degrees of freedom (Biometrika 34, 1947), whose squared variances are replaced by
unbiased estimates of them, since they would make few seeds count for fewer; S - 1 where an
experiment pairs its seeds beforehand. The second is what the images' differences vary by, less the
rest's part of it (crossed analysis of variance, e.g. Searle, Casella and McCulloch, Variance
Components, 1992). Each has a quantile of its own (kbench.results.interval). With one seed there is
only the choice of test images (McNemar's test where each is a success or a failure), and a report
must say so. In retrieval the captions of one image are one sample; in the PMI gap, where variants
are scored on the same pairs, samples are pairs or batches of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from kbench import tasks
from kbench.results import samples
from kbench.results.interval import Error
from kbench.results.store import Store
from kbench.results.summary import Column, Scores
from kbench.results.table import label

if TYPE_CHECKING:
    import pandas


LEVEL = 0.05
MARGIN = 1.0
"""Points, where an experiment does not say another."""


class Outcome(StrEnum):
    """What a comparison shows of the first variant's number: that it is above or below the
    second's, that both are the same but for the margin, none of these, or nothing at all.
    """

    HIGHER = "higher"
    LOWER = "lower"
    EQUIVALENT = "equivalent"
    OPEN = "no difference shown"
    UNTESTED = "not tested"


@dataclass(frozen=True)
class Estimate:
    """An average difference with its 95 % interval and the p-value of 'no difference'.

    seeds: of both variants, the smaller number.
    """

    value: float
    error: Error
    p: float
    seeds: int
    covers_training: bool  # the interval includes the variation between training seeds
    covers_sampling: bool  # the interval includes the choice of test images

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.value - self.error.half_width(LEVEL)

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.value + self.error.half_width(LEVEL)

    def within(self, margin: float) -> bool:
        """Return whether two one-sided tests, each at 5 %, place the true difference within the
        margin.
        """
        return abs(self.value) + self.error.half_width(2 * LEVEL) < margin


@dataclass(frozen=True)
class Comparison:
    """Two variants over one or more columns; `estimate` is None where nothing can be tested.

    family: the number of comparisons that p_holm is corrected for. margin: the difference below
    which the variants count as equivalent, in the metric's unit; None where none is declared.
    """

    first: str
    second: str
    columns: tuple[Column, ...]
    estimate: Estimate | None
    p_holm: float | None = None
    family: int = 1
    margin: float | None = None

    @property
    def outcome(self) -> Outcome:
        """What the test shows."""
        if self.estimate is None:
            return Outcome.UNTESTED
        if self.significant:
            return Outcome.HIGHER if self.estimate.value > 0 else Outcome.LOWER
        # One training each does not tell what two others would differ by.
        judged = self.margin is not None and self.estimate.covers_training
        equivalent = judged and self.estimate.within(self.margin)
        return Outcome.EQUIVALENT if equivalent else Outcome.OPEN

    @property
    def significant(self) -> bool:
        """Whether the difference survives Holm's correction at the 5 % level."""
        return self.p_holm is not None and self.p_holm < LEVEL

    @property
    def detectable(self) -> float | None:
        """The difference that a test with Holm's first step would find four times in five."""
        return self.estimate and self.estimate.error.detectable(LEVEL / self.family)


class ImageScores:
    """Scores (S, N) of one variant on one dataset: at each seed, of each image; with what tests
    take of them, which a variant has in common in all its comparisons. N = 1 stands for a dataset
    without scores of single images.
    """

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = scores

    @property
    def seeds(self) -> int:
        """S."""
        return self.scores.shape[0]

    @property
    def images(self) -> int:
        """N."""
        return self.scores.shape[1]

    @cached_property
    def mean(self) -> float:
        """The mean over seeds and images."""
        return self.scores.mean()

    @cached_property
    def of_seeds(self) -> np.ndarray:
        """The mean over images at each seed, (S,)."""
        return self.scores.mean(axis=1)

    @cached_property
    def between_seeds(self) -> float:
        """The variance between seeds of the mean over images."""
        return _variance(self.of_seeds)

    @cached_property
    def of_images(self) -> np.ndarray:
        """The mean over seeds of each image, (N,)."""
        return self.scores.mean(axis=0)

    @cached_property
    def rest(self) -> float:
        """The rest's part of the variance of the mean; 0 with one seed, where it cannot be told
        from the images'.
        """
        if self.seeds == 1:
            return 0.0
        rest = self.scores - self.of_images - self.of_seeds[:, None] + self.mean
        freedom = (self.seeds - 1) * (self.images - 1)
        return float((rest**2).sum() / freedom / (self.seeds * self.images))


Scored = tuple[ImageScores, ImageScores]
"""Of two variants on one dataset, at (S, N) and (T, N)."""


def estimate(
    datasets: Sequence[tuple[np.ndarray, np.ndarray]], paired: bool = False
) -> Estimate | None:
    """Return the difference of the first from the second, averaged over datasets, from the scores
    (S, N) and (T, N) on each; see `difference`.
    """
    return difference(
        [(ImageScores(first), ImageScores(second)) for first, second in datasets], paired
    )


def difference(datasets: Sequence[Scored], paired: bool = False) -> Estimate | None:
    """Return the difference of the first from the second, averaged over datasets.

    A variant's seeds are the same in all datasets, the images of different datasets are taken to be
    independent. paired: the two variants' seeds belong together, one by one. Where a variant has
    one seed, only the choice of test images is covered, and where it has no scores of single
    images, None is returned; so it is where the differences show no spread.
    """
    value = float(np.mean([first.mean - second.mean for first, second in datasets]))
    sampled = all(first.images > 1 for first, _ in datasets)
    of_images, rest = map(sum, zip(*map(_image_variances, datasets), strict=True))
    of_images, rest = of_images / len(datasets) ** 2, rest / len(datasets) ** 2
    seeds = min(min(first.seeds, second.seeds) for first, second in datasets)
    if seeds == 1:
        return _within_seed(value, of_images, datasets) if sampled else None
    trainings, freedom = _seed_variance(datasets, paired)
    # Seeds that tie, as they do at the end of a scale, say nothing of what is the rest's part.
    samples = max(0.0, of_images - rest) if trainings else of_images
    error = Error(trainings, freedom, samples, _samples_freedom(datasets))
    if value != 0 and error.half_width(LEVEL) == 0:
        return None
    return Estimate(value, error, error.p_value(value), seeds, True, sampled)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values adjusted for their number (Holm, Scand. J. Statist. 6, 1979); None and NaN
    are None and count for nothing.
    """
    finite = [None if p is None or np.isnan(p) else p for p in p_values]
    known = sorted((p, index) for index, p in enumerate(finite) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    running = 0.0
    for rank, (p, index) in enumerate(known):
        running = max(running, min(1.0, (len(known) - rank) * p))
        adjusted[index] = running
    return adjusted


class Pairs:
    """Pairwise comparisons within one experiment; reads the predictions of each result once."""

    def __init__(self, store: Store, scores: Scores, groups: dict[str, str]) -> None:
        """`groups` maps each run to the name of its group."""
        self._store = store
        self._scores = scores
        self._paired = bool(store.experiment.experiment.get("paired_seeds", False))
        self._margin = store.experiment.experiment.get("margin", MARGIN) / 100
        self._results = {
            (groups[result.run], result.seed, result.task, result.dataset): result
            for result in store.results
        }
        self._measure = cache(tasks.measure)
        self._cache: dict[tuple, np.ndarray | None] = {}
        self._stacks: dict[tuple, ImageScores | None] = {}

    def on_average(self, columns: Sequence[Column]) -> list[Comparison]:
        """Compare all pairs on the average over `columns`; Holm's correction over the pairs."""
        pairs = combinations([group for group, _ in self._scores.ranked(list(columns))], 2)
        return _corrected([self._compare(first, second, tuple(columns)) for first, second in pairs])

    def on_each(self, columns: Sequence[Column]) -> list[Comparison]:
        """Compare all pairs on every column by itself; Holm's correction over all pairs and
        columns.
        """
        return _corrected(
            [
                self._compare(first, second, (column,))
                for column in columns
                for first, second in combinations(
                    [group for group, _ in self._scores.ranked([column])], 2
                )
            ]
        )

    def mean(self, group: str, columns: Sequence[Column]) -> Estimate | None:
        """Return a group's own average over columns, with the sampling of test images in its
        interval; None with fewer than two seeds.
        """
        seeds = tuple(sorted(self._scores.average(group, list(columns)).values))
        if len(seeds) < 2:
            return None
        scored = [self._scored([(group, seeds)] * 2, column)[0].scores for column in columns]
        return estimate([(scores, np.zeros_like(scores)) for scores in scored], paired=True)

    def chosen(self, questions: Sequence[tuple[str, str, tuple[Column, ...]]]) -> list[Comparison]:
        """Compare the given pairs, each on the average over its columns; Holm's correction over all
        of them.
        """
        return _corrected([self._compare(*question) for question in questions])

    def sample(self, group: str, seed: int, column: Column) -> np.ndarray | None:
        """Return the (N,) scores of single images behind one value, or None."""
        key = (group, seed, column)
        if key not in self._cache:
            result = self._results[group, seed, column.task, column.dataset]
            self._cache[key] = samples.per_sample(self._store, result, column.metric, self._measure)
        return self._cache[key]

    def _compare(self, first: str, second: str, columns: tuple[Column, ...]) -> Comparison:
        groups = (first, second)
        seeds = [sorted(self._scores.average(group, list(columns)).values) for group in groups]
        if self._paired:
            seeds = [sorted(set.intersection(*map(set, seeds)))] * 2
        if not all(seeds):
            return Comparison(first, second, columns, None)
        margin = self._margin if columns[0].unit == "fraction" else None
        chosen = list(zip(groups, map(tuple, seeds), strict=True))
        scored = [self._scored(chosen, column) for column in columns]
        tested = difference(scored, self._paired)
        return Comparison(first, second, columns, tested, margin=margin)

    def _scored(self, chosen: list[tuple[str, tuple[int, ...]]], column: Column) -> Scored:
        """Return the scores of two groups at their seeds; N = 1, the values, where single
        images are not known, or not of the same ones.
        """
        first, second = (self._stack(group, seeds, column) for group, seeds in chosen)
        if first is not None and second is not None and first.images == second.images:
            return first, second
        values = [(self._scores.summary(group, column).values, seeds) for group, seeds in chosen]
        first, second = (
            ImageScores(np.array([[of[seed]] for seed in seeds])) for of, seeds in values
        )
        return first, second

    def _stack(self, group: str, seeds: tuple[int, ...], column: Column) -> ImageScores | None:
        """Return the scores of single images at several seeds, or None if one has none; a group is
        compared with every other, and its scores are in memory once.
        """
        key = (group, seeds, column)
        if key not in self._stacks:
            singles = [self.sample(group, seed, column) for seed in seeds]
            known = all(scores is not None for scores in singles)
            self._stacks[key] = ImageScores(np.stack(singles)) if known else None
            if known:
                places = [(group, seed, column) for seed in seeds]
                self._cache.update(zip(places, self._stacks[key].scores, strict=True))
        return self._stacks[key]


def groups_of_runs(table: "pandas.DataFrame") -> dict[str, str]:
    """Return the name of each run's group, from the tidy table."""
    return dict(zip(table["run"], label(table), strict=True))


def groups_of_variants(table: "pandas.DataFrame") -> dict[str, str]:
    """Return the name of each variant's group, from the tidy table."""
    return dict(zip(table["variant"], label(table), strict=True))


def _corrected(comparisons: list[Comparison]) -> list[Comparison]:
    raw = [comparison.estimate and comparison.estimate.p for comparison in comparisons]
    family = max(1, sum(p is not None for p in raw))
    return [
        replace(comparison, p_holm=p, family=family)
        for comparison, p in zip(comparisons, holm(raw), strict=True)
    ]


def _seed_variance(datasets: Sequence[Scored], paired: bool) -> tuple[float, float]:
    """Return the variance of the difference that is due to trainings, and its degrees of
    freedom.
    """
    sides = list(zip(*datasets, strict=True))
    if paired:
        first, second = map(_of_seeds, sides)
        return _variance(first - second) / len(first), len(first) - 1
    first, second = (_between_seeds(side) / side[0].seeds for side in sides)
    degrees = [side[0].seeds - 1 for side in sides]
    if not first + second:
        return 0.0, float(min(degrees))
    # A variance v with f degrees of freedom has the expected square v^2 (1 + 2 / f).
    squares = [part**2 / (1 + 2 / of) for part, of in zip((first, second), degrees, strict=True)]
    known = sum(square / of for square, of in zip(squares, degrees, strict=True))
    freedom = (sum(squares) + 2 * first * second) / known
    return first + second, float(min(freedom, sum(degrees)))


def _of_seeds(side: Sequence[ImageScores]) -> np.ndarray:
    """Return the mean over datasets at each seed, (S,)."""
    return sum(scores.of_seeds for scores in side) / len(side)


def _between_seeds(side: Sequence[ImageScores]) -> float:
    """Return the variance between seeds of the mean over datasets."""
    return side[0].between_seeds if len(side) == 1 else _variance(_of_seeds(side))


def _variance(values: np.ndarray) -> float:
    """Return the variance of (N,) values with N - 1 degrees of freedom: numpy's, in a third of the
    time for the few that most comparisons have.
    """
    apart = values - values.sum() / len(values)
    return float((apart * apart).sum() / (len(values) - 1))


def _samples_freedom(datasets: Sequence[Scored]) -> int:
    return max(1, sum(first.images - 1 for first, _ in datasets))


def _image_variances(scored: Scored) -> tuple[float, float]:
    """Return the variance of the difference of means that the N images' differences show, and the
    rest's part of it.
    """
    first, second = scored
    if first.images < 2:
        return 0.0, 0.0
    apart = first.of_images - second.of_images
    return _variance(apart) / first.images, first.rest + second.rest


def _within_seed(value: float, variance: float, datasets: Sequence[Scored]) -> Estimate:
    """Return the estimate from the test images alone: McNemar's exact test where both variants have
    one seed on one dataset of successes, a t-test otherwise.
    """
    error = Error(variance, _samples_freedom(datasets))
    differences = [first.of_images - second.of_images for first, second in datasets]
    single = all(first.seeds == second.seeds == 1 for first, second in datasets)
    successes = single and len(datasets) == 1 and np.isin(differences[0], (-1, 0, 1)).all()
    p = _mcnemar(differences[0]) if successes else error.p_value(value)
    return Estimate(value, error, p, 1, False, True)


def _mcnemar(difference: np.ndarray) -> float:
    won, lost = int((difference > 0).sum()), int((difference < 0).sum())
    return float(stats.binomtest(won, won + lost).pvalue) if won + lost else 1.0
