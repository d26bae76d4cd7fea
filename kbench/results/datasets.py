"""Variants over several datasets at once: what they score above chance, how they rank, how often
one beats the other.

Scores are (S, D): of S training seeds on the same D datasets. Intervals are percentile ones of a
bootstrap that draws datasets and seeds anew, each with replacement and independently (Owen, The
pigeonhole bootstrap, Ann. Appl. Statist. 1, 2007): a run keeps all its scores together, and one
draw of datasets is for all variants. They are about other datasets of the kind and other trainings,
and with few seeds they are too narrow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from kbench import seeds

RESAMPLES = 1000
AT_ONCE = 100
"""Resamples whose counts of single scores are in memory at once, and in a processor's cache."""

LEVEL = 0.05
FEWEST_DATASETS = 5
"""Of fewer an average rank says little, and Friedman's statistic is far from its law."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Overall:
    """One variant over all datasets.

    mean: of scores above chance; interquartile_mean: of all seeds' scores above chance, without the
    lowest and the highest quarter; rank: mean over datasets, 1 the best; beats: the probability
    that one of its trainings scores higher than one of the reference's on a dataset, ties a half;
    None for the reference itself.
    """

    group: str
    mean: float
    interquartile_mean: Interval
    rank: float
    beats: Interval | None


@dataclass(frozen=True)
class Ranking:
    """Whether variants rank differently at all (Friedman's test), and by how much two mean ranks
    have to differ to be told apart (Nemenyi's critical difference at 5 %).

    After Demsar, Statistical comparisons of classifiers over multiple data sets, JMLR 7, 2006.
    """

    p: float
    critical_difference: float


def above_chance(scores: np.ndarray, chance: Sequence[float | None]) -> np.ndarray:
    """Return (S, D) scores as shares of the way from chance to 1, or as they are if the chance of
    one dataset is not known.
    """
    if None in chance:
        return scores
    level = np.array(chance, dtype=float)
    return (scores - level) / (1 - level)


def overall(scores: Mapping[str, np.ndarray], reference: str) -> list[Overall]:
    """Return every variant over all datasets, the best mean rank first; scores: higher is
    better.
    """
    ranks = mean_ranks(scores)
    shapes = {group: table.shape for group, table in scores.items()}
    draws = _draws(shapes)
    shares = {group: tuple(map(_shares, draws[group], shape)) for group, shape in shapes.items()}
    made = [
        Overall(
            group,
            float(table.mean()),
            _interval(stats.trim_mean(table, 0.25, axis=None), _middles(table, shares[group])),
            ranks[group],
            None if group == reference else _beaten(scores, shares, group, reference),
        )
        for group, table in scores.items()
    ]
    return sorted(made, key=lambda one: one.rank)


def mean_ranks(scores: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the mean over datasets of each variant's rank by its mean over seeds; ties share."""
    means = np.stack([table.mean(axis=0) for table in scores.values()])
    ranks = stats.rankdata(-means, axis=0).mean(axis=1)
    return dict(zip(scores, ranks.tolist(), strict=True))


def ranking(scores: Mapping[str, np.ndarray]) -> Ranking | None:
    """Return whether and when ranks differ; None with fewer than three variants or five datasets,
    or where all tie.
    """
    means = np.stack([table.mean(axis=0) for table in scores.values()])
    variants, datasets = means.shape
    if variants < 3 or datasets < FEWEST_DATASETS or (means == means[0]).all():
        return None
    p = float(stats.friedmanchisquare(*means).pvalue)
    quantile = stats.studentized_range.isf(LEVEL, variants, np.inf) / 2**0.5
    return Ranking(p, float(quantile * (variants * (variants + 1) / (6 * datasets)) ** 0.5))


Draws = tuple[np.ndarray, np.ndarray]
"""Indices of seeds (R, S) and of datasets (R, D) of every resample."""


def _draws(shapes: Mapping[str, tuple[int, int]]) -> dict[str, Draws]:
    """Return the resamples of each variant; datasets are drawn once for all."""
    datasets = {count for _, count in shapes.values()}
    assert len(datasets) == 1, "variants were scored on different datasets"
    count = datasets.pop()
    generator = np.random.default_rng(seeds.derive("bootstrap", "datasets"))
    chosen = generator.integers(count, size=(RESAMPLES, count))
    draws = {}
    for group, (trainings, _) in shapes.items():
        own = np.random.default_rng(seeds.derive("bootstrap", group))
        draws[group] = own.integers(trainings, size=(RESAMPLES, trainings)), chosen
    return draws


def _middles(table: np.ndarray, shares: Draws) -> np.ndarray:
    """Return the interquartile means (R,) of resamples of scores (S, D), as scipy's trim_mean gives
    them of every resample, from how often each score is in it: so the scores are sorted once.
    """
    trainings, datasets = (
        np.rint(share * count) for share, count in zip(shares, table.shape, strict=True)
    )
    order, cut = table.argsort(axis=None), int(0.25 * table.size)
    training, dataset = np.unravel_index(order, table.shape)
    sums = []
    for few in np.array_split(np.arange(RESAMPLES), RESAMPLES // AT_ONCE):
        drawn = trainings[few[:, None], training] * datasets[few[:, None], dataset]
        so_far = drawn.cumsum(axis=1).clip(cut, table.size - cut)
        sums.append(np.diff(so_far, axis=1, prepend=cut) @ table.ravel()[order])
    return np.concatenate(sums) / (table.size - 2 * cut)


def _beaten(
    scores: Mapping[str, np.ndarray], shares: Mapping[str, Draws], group: str, reference: str
) -> Interval:
    """Return P(group > reference) + P(tie) / 2 over pairs of trainings on each dataset; shares:
    how often each training (R, S) and each dataset (R, D) was drawn.
    """
    ours, theirs = scores[group], scores[reference]
    difference = ours[:, None] - theirs
    wins = (difference > 0) + (difference == 0) / 2  # (S, T, D)
    trainings, datasets = shares[group]
    others, _ = shares[reference]
    # Over one side's trainings first: what is in memory is then seeds times datasets a resample.
    over_ours = np.einsum("rs,std->rtd", trainings, wins, optimize=True)
    resampled = np.einsum("rt,rtd,rd->r", others, over_ours, datasets, optimize=True)
    return _interval(wins.mean(), resampled)


def _shares(chosen: np.ndarray, count: int) -> np.ndarray:
    """Return how often each of `count` was drawn, as a share, (R, count), from indices (R, n)."""
    drawn = (chosen[:, :, None] == np.arange(count)).sum(axis=1)
    return drawn / chosen.shape[1]


def _interval(value: float, resampled: np.ndarray) -> Interval:
    low, high = np.quantile(resampled, (LEVEL / 2, 1 - LEVEL / 2))
    return Interval(float(value), float(low), float(high))
