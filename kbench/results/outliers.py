"""Variants whose trainings are much further apart than the others': a few of them have failed, and
no test here is made for that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from kbench.results.summary import Column, Scores, Summary

TIMES, LEVEL = 3, 0.01
"""A variant stands out whose sd is more than so many times the median of the others', and beyond
what few seeds give by chance: an F test against the others' mean variance, Bonferroni's correction
over the variants.
"""

FAILED = 5
"""A training has failed that is behind its variant's best by so many of the others' median sd."""


@dataclass(frozen=True)
class Spread:
    """A variant that stands out.

    times: its sd over seeds in medians of the others'; failed: of how many trainings, with the 95 %
    interval of their share (Clopper and Pearson, Biometrika 26, 1934).
    """

    group: str
    times: float
    failed: int
    trainings: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share of trainings that fail."""
        shares = stats.binomtest(self.failed, self.trainings).proportion_ci(0.95, "exact")
        return float(shares.low), float(shares.high)


def standing_out(scores: Scores, columns: Sequence[Column]) -> list[Spread]:
    """Return the variants whose sd over seeds stands out, on the average over columns."""
    averages = {group: scores.average(group, list(columns)) for group in scores.groups}
    sds = {group: average.sd for group, average in averages.items() if average.sd is not None}
    spreads = []
    for group, sd in sds.items():
        others = {name: other for name, other in sds.items() if name != group}
        median = float(np.median(list(others.values()))) if others else 0.0
        if median == 0 or sd <= TIMES * median or not _beyond_chance(averages, group, others, sd):
            continue
        values = np.array(list(averages[group].values.values()))
        worse = values.max() - values if columns[0].higher_is_better else values - values.min()
        failed = int((worse > FAILED * median).sum())
        spreads.append(Spread(group, sd / median, failed, len(values)))
    return spreads


def _beyond_chance(
    averages: dict[str, Summary], group: str, others: dict[str, float], sd: float
) -> bool:
    freedom = sum(averages[name].n - 1 for name in others)
    ratio = sd**2 / np.mean(np.square(list(others.values())))
    p = stats.f.sf(ratio, averages[group].n - 1, freedom)
    return bool(p < LEVEL / (len(others) + 1))
