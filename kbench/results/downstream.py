"""Whether weights with a smaller gap to the optimal score make fewer errors as classifiers.

arXiv 2404.19228 bounds the error of a linear classifier by a sum of which the gap between learned
similarity and PMI is one term. A bound orders nothing by itself; looked at here is whether there
is an order: of two sets of weights, does the one of the smaller gap make fewer errors? Kendall's
tau is the share of pairs that say yes less the share that say no (Biometrika 30, 1938).
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kbench import tasks
from kbench.results.pairs import Comparison, Outcome
from kbench.results.summary import Scores

LEAST = 20
"""Sets of weights below which nothing is said."""

MOST = 300
"""Sets of weights above which a group's are averaged over its seeds."""

RESAMPLES = 2000


@dataclass(frozen=True)
class Weights:
    """One set of weights: of a group, at a seed, after so many pairs; its gap in nats, and its
    error as a classifier, a fraction.
    """

    group: str
    seed: int
    samples: int
    dimension: int | None
    gap: float
    error: float


@dataclass(frozen=True)
class Tau:
    """Kendall's tau over `pairs` of weights of different groups, and its 95 % interval over the
    choice of groups and of training seeds.
    """

    value: float
    low: float
    high: float
    pairs: int


def gap_task(scores: Scores) -> str | None:
    """Return the task that measures the gap, None where none has."""
    declared = ((task, tasks.find(task)) for task in scores.tasks)
    return next((task for task, its in declared if its is not None and its.gap), None)


def classifiers(scores: Scores) -> list[str]:
    """Return the tasks that score weights as a classifier, as a fraction that is right."""
    return [task for task in scores.tasks if _classifies(task) and _measured(scores, task)]


def _classifies(task: str) -> bool:
    declared = tasks.find(task)
    return declared is not None and "classification" in declared.kinds


def _measured(scores: Scores, task: str) -> bool:
    column = scores.columns(task)[0]
    return column.unit == "fraction" and column.higher_is_better


def weights(along: Mapping[int, Scores], task: str, dimensions: Mapping[str, int]) -> list[Weights]:
    """Return every set of weights that has both a gap and a score in a task, averaged over its
    datasets; where they are very many, their means over seeds, with seed 0.

    along: {pairs seen: scores}; dimensions: embedding dimensions of groups, where these differ.
    """
    every = []
    for samples, scores in along.items():
        for group in scores.groups:
            gaps, rights = _values(scores, group, task)
            every += [
                Weights(group, seed, samples, dimensions.get(group), gaps[seed], 1 - rights[seed])
                for seed in sorted(gaps.keys() & rights.keys())
            ]
    return _over_seeds(every) if len(every) > MOST else every


def _over_seeds(every: Sequence[Weights]) -> list[Weights]:
    together: dict[tuple[str, int], list[Weights]] = {}
    for one in every:
        together.setdefault((one.group, one.samples), []).append(one)
    return [
        replace(
            some[0],
            seed=0,
            gap=float(np.mean([one.gap for one in some])),
            error=float(np.mean([one.error for one in some])),
        )
        for some in together.values()
    ]


def _values(scores: Scores, group: str, task: str) -> tuple[dict[int, float], dict[int, float]]:
    names = (gap_task(scores), task)
    return tuple(scores.average(group, scores.columns(name or "")).values for name in names)


STRATA: dict[str, Callable[[Weights], Hashable]] = {
    "all": lambda one: None,
    "as many pairs seen": lambda one: one.samples,
    "the same dimension": lambda one: one.dimension,
    "the same dimension, as many pairs seen": lambda one: (one.dimension, one.samples),
}
"""Which pairs of weights are looked at: those that have this in common."""


def taus(every: Sequence[Weights]) -> dict[str, Tau | None]:
    """Return tau by what pairs have in common, each way of pairing once."""
    by_name: dict[str, Tau | None] = {}
    seen = []
    for name, stratum in STRATA.items():
        pairing = _numbered(stratum(one) for one in every).tolist()
        if pairing not in seen:
            seen.append(pairing)
            by_name[name] = tau(every, stratum)
    return by_name


def tau(every: Sequence[Weights], stratum: Callable[[Weights], Hashable]) -> Tau | None:
    """Return Kendall's tau of gap and error over the pairs of weights of different groups in one
    stratum; None where there are no such pairs.

    The interval is that of 2,000 resamples: groups are drawn anew, and of each its seeds, with all
    weights along their training.
    """
    agree = _agreement(every, stratum)
    seen = np.abs(agree)
    pairs = int(seen.sum()) // 2
    if not pairs:
        return None
    counts = _drawn(every)
    numbers = np.einsum("ri,ij,rj->r", counts, seen, counts, optimize=True)
    sums = np.einsum("ri,ij,rj->r", counts, agree, counts, optimize=True)
    drawn = sums[numbers > 0] / numbers[numbers > 0]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Tau(float(agree.sum() / seen.sum()), float(low), float(high), pairs)


def _agreement(every: Sequence[Weights], stratum: Callable[[Weights], Hashable]) -> np.ndarray:
    """Return (n, n): 1 where a pair's gaps and errors are in the same order, -1 where in opposite
    ones, 0 where it is not looked at or is a tie.
    """
    gaps, errors = (np.array([getattr(one, name) for one in every]) for name in ("gap", "error"))
    groups = _numbered(one.group for one in every)
    strata = _numbered(stratum(one) for one in every)
    looked_at = (groups[:, None] != groups) & (strata[:, None] == strata)
    return looked_at * np.sign(gaps[:, None] - gaps) * np.sign(errors[:, None] - errors)


def _drawn(every: Sequence[Weights]) -> np.ndarray:
    """Return how often each of n weights is in each resample, (R, n)."""
    rng = np.random.default_rng(0)
    seeds: dict[str, dict[int, None]] = {}
    for one in every:
        seeds.setdefault(one.group, {})[one.seed] = None
    chosen = rng.multinomial(len(seeds), [1 / len(seeds)] * len(seeds), size=RESAMPLES)
    times: dict[tuple[str, int], np.ndarray] = {}
    for (group, its), number in zip(seeds.items(), chosen.T, strict=True):
        again = rng.multinomial(number * len(its), [1 / len(its)] * len(its))
        times.update({(group, seed): column for seed, column in zip(its, again.T, strict=True)})
    return np.stack([times[one.group, one.seed] for one in every], axis=1).astype(float)


def _numbered(values: Iterable[Hashable]) -> np.ndarray:
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values])


def decided(
    gaps: Sequence[Comparison], scores: Sequence[Comparison]
) -> tuple[list[tuple[Comparison, Comparison]], list[tuple[Comparison, Comparison]]]:
    """Return the pairs of groups that tests order both by gap and by score: those in which the
    smaller gap has the higher score, and those that contradict it.
    """
    of = {frozenset((pair.first, pair.second)): pair for pair in scores}
    both = [
        (gap, of[frozenset((gap.first, gap.second))])
        for gap in gaps
        if gap.significant and frozenset((gap.first, gap.second)) in of
    ]
    both = [(gap, score) for gap, score in both if score.significant]
    agreeing = [pair for pair in both if _ahead(*pair)]
    return agreeing, [pair for pair in both if pair not in agreeing]


def _ahead(gap: Comparison, score: Comparison) -> bool:
    """Return whether the variant of the smaller gap has the higher score."""
    smaller = gap.first if gap.outcome == Outcome.LOWER else gap.second
    higher = score.first if score.outcome == Outcome.HIGHER else score.second
    return smaller == higher
