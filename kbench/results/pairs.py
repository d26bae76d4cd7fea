"""Paired comparisons of variants on the same test images at the same training seeds.

Model for the difference between two variants at seed s on image i of a dataset:
    d[s, i] = difference + seed[s] + image[i] + rest[s, i]
Its mean over all has variance  var(seed)/S + var(image)/N + var(rest)/(S N), each estimated from
the crossed analysis of variance (e.g. Searle, Casella and McCulloch, Variance Components, 1992).
The test uses S - 1 degrees of freedom: Satterthwaite's approximation, which the model suggests,
rejected up to 9 % instead of 5 % of true null hypotheses in simulations with two and three seeds;
with S - 1 the test is never more liberal than the paired t-test over seeds, and covers the choice
of test images besides. The price is that two seeds can show next to nothing. With one seed there is
only the choice of test images (McNemar's test where each is a success or a failure), and a report
must say so. In retrieval the captions of one image are one sample; in the PMI gap, where variants
are scored on the same pairs, samples are pairs or batches of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from kbench.results import samples
from kbench.results.store import Store
from kbench.results.summary import Column, Scores
from kbench.results.table import label

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Estimate:
    """An average difference with its 95 % interval and the p-value of 'no difference'."""

    value: float
    low: float
    high: float
    p: float
    seeds: int
    covers_training: bool  # the interval includes the variation between training seeds
    covers_sampling: bool  # the interval includes the choice of test images


@dataclass(frozen=True)
class Comparison:
    """Two variants over one or more columns; `estimate` is None where nothing can be tested."""

    first: str
    second: str
    columns: tuple[Column, ...]
    estimate: Estimate | None
    p_holm: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the difference survives Holm's correction at the 5 % level."""
        return self.p_holm is not None and self.p_holm < 0.05


def estimate(differences: Sequence[np.ndarray]) -> Estimate | None:
    """Return the difference averaged over datasets, from one (S, N) array of differences for each
    dataset.

    The arrays share their seeds; the images of different datasets are taken to be independent. N =
    1 stands for a dataset without scores of single images: then its sampling of test images is not
    covered. None if the differences cannot show any spread (one seed, no single images).
    """
    seeds = differences[0].shape[0]
    value = float(np.mean([difference.mean() for difference in differences]))
    sampled = all(difference.shape[1] > 1 for difference in differences)
    of_images, rest = np.sum([_image_variances(difference) for difference in differences], axis=0)
    of_images, rest = of_images / len(differences) ** 2, rest / len(differences) ** 2
    if seeds == 1:
        return _within_seed(value, of_images, differences) if sampled else None
    of_seeds = (
        np.mean([difference.mean(axis=1) for difference in differences], axis=0).var(ddof=1) / seeds
    )
    # Seeds that tie by chance must not make the error smaller than the images alone do.
    error = np.sqrt(max(of_seeds + of_images - rest, of_seeds, of_images))
    if error == 0 and value != 0:
        return None
    p = _p_value(value, error, seeds - 1)
    return Estimate(value, *_interval(value, error, seeds - 1), p, seeds, True, sampled)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values adjusted for their number (Holm, Scand. J. Statist. 6, 1979); None stays
    None.
    """
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
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
        self._results = {
            (groups[result.run], result.seed, result.task, result.dataset): result
            for result in store.results
        }
        self._cache: dict[tuple, np.ndarray | None] = {}
        self._stacks: dict[tuple, np.ndarray | None] = {}

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
            self._cache[key] = samples.per_sample(self._store, result, column.metric)
        return self._cache[key]

    def _compare(self, first: str, second: str, columns: tuple[Column, ...]) -> Comparison:
        seeds = sorted(
            set(self._scores.average(first, list(columns)).values)
            & set(self._scores.average(second, list(columns)).values)
        )
        if not seeds:
            return Comparison(first, second, columns, None)
        differences = [self._differences(first, second, seeds, column) for column in columns]
        return Comparison(first, second, columns, estimate(differences))

    def _differences(self, first: str, second: str, seeds: list[int], column: Column) -> np.ndarray:
        """Return (S, N) differences of images, or (S, 1) of values where single images are not
        known.
        """
        ours, theirs = (self._stack(group, tuple(seeds), column) for group in (first, second))
        if ours is None or theirs is None:
            one, other = (self._scores.summary(group, column).values for group in (first, second))
            return np.array([[one[seed] - other[seed]] for seed in seeds])
        return ours - theirs

    def _stack(self, group: str, seeds: tuple[int, ...], column: Column) -> np.ndarray | None:
        """Return the (S, N) scores of single images at several seeds, or None if one has none; a
        group is compared with every other, and its scores are in memory once.
        """
        key = (group, seeds, column)
        if key not in self._stacks:
            singles = [self.sample(group, seed, column) for seed in seeds]
            known = all(scores is not None for scores in singles)
            self._stacks[key] = stack = np.stack(singles) if known else None
            if known:
                places = [(group, seed, column) for seed in seeds]
                self._cache.update(zip(places, stack, strict=True))
        return self._stacks[key]


def groups_of_runs(table: "pandas.DataFrame") -> dict[str, str]:
    """Return the name of each run's group, from the tidy table."""
    return dict(zip(table["run"], label(table), strict=True))


def _corrected(comparisons: list[Comparison]) -> list[Comparison]:
    adjusted = holm(
        [comparison.estimate.p if comparison.estimate else None for comparison in comparisons]
    )
    return [
        replace(comparison, p_holm=p) for comparison, p in zip(comparisons, adjusted, strict=True)
    ]


def _image_variances(difference: np.ndarray) -> tuple[float, float]:
    """Return the variance of the mean over images, from the N images' means, and the rest's part of
    it.
    """
    seeds, images = difference.shape
    if images < 2:
        return 0.0, 0.0
    of_images = difference.mean(axis=0)
    if seeds == 1:
        return of_images.var(ddof=1) / images, 0.0
    rest = difference - of_images - difference.mean(axis=1, keepdims=True) + difference.mean()
    square = (rest**2).sum() / ((seeds - 1) * (images - 1))
    return of_images.var(ddof=1) / images, square / (seeds * images)


def _within_seed(value: float, variance: float, differences: Sequence[np.ndarray]) -> Estimate:
    """Return the estimate at one seed: McNemar's exact test on one dataset of successes, a t-test
    otherwise.
    """
    freedom = sum(difference.shape[1] - 1 for difference in differences)
    error = np.sqrt(variance)
    successes = len(differences) == 1 and np.isin(differences[0], (-1, 0, 1)).all()
    p = _mcnemar(differences[0]) if successes else _p_value(value, error, freedom)
    return Estimate(value, *_interval(value, error, freedom), p, 1, False, True)


def _mcnemar(difference: np.ndarray) -> float:
    won, lost = int((difference > 0).sum()), int((difference < 0).sum())
    return float(stats.binomtest(won, won + lost).pvalue) if won + lost else 1.0


def _p_value(value: float, error: float, freedom: int) -> float:
    if value == 0:
        return 1.0
    return float(2 * stats.t.sf(abs(value) / error, freedom)) if error else 0.0


def _interval(value: float, error: float, freedom: int) -> tuple[float, float]:
    half = float(stats.t.ppf(0.975, freedom) * error)
    return value - half, value + half
