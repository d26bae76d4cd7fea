"""Intervals and p-values of an estimate that varies with trainings and with test samples.

The variance between a few trainings is itself hardly known, that of many test samples is. Each
source has a quantile of its own, Student's with its degrees of freedom, and the critical value is
their mean, weighted by variance (Cochran, Biometrics 20, 1964):
    half-width = (trainings t(freedom) + samples t(samples_freedom)) / sqrt(trainings + samples)
The p-value is the level whose interval ends at 0; it lies between what the quantiles of the two
sources give alone. docs/statistics.md has what a simulation says of this and of two others: all of
the error under the trainings' degrees of freedom, which rejects next to nothing, and
Satterthwaite's degrees for the sum, which rejects too much with two seeds.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

from scipy import optimize, special

LEAST_P = 1e-15
"""Smaller p-values are not told apart."""

POWER = 0.8
"""With which the smallest difference would have been found that is called detectable."""


@dataclass(frozen=True)
class Error:
    """The variance of an estimate by source: `trainings`, by training seeds, and `samples`, by the
    choice of test samples, each known to so many degrees of freedom.
    """

    trainings: float
    freedom: float
    samples: float = 0.0
    samples_freedom: float = 1e9

    def half_width(self, level: float) -> float:
        """Return half of the interval that leaves out `level`."""
        total = self.trainings + self.samples
        if total == 0:
            return 0.0
        weighted = self.trainings * _quantile(self.freedom, level / 2)
        weighted += self.samples * _quantile(self.samples_freedom, level / 2)
        return -weighted / math.sqrt(total)

    def p_value(self, difference: float) -> float:
        """Return the two-sided p-value of 'no difference'."""
        size = abs(difference)
        if size == 0 or self.half_width(LEAST_P) < size:
            return 1.0 if size == 0 else LEAST_P
        statistic = size / math.sqrt(self.trainings + self.samples)
        alone = 2 * special.stdtr([self.freedom, self.samples_freedom], -statistic)
        # Wider by what a quantile and its inverse may disagree by.
        ends = max(LEAST_P, alone.min() * 0.999), min(1.0, alone.max() * 1.001)
        return float(
            optimize.brentq(lambda level: self.half_width(level) - size, *ends, xtol=1e-16)
        )

    def detectable(self, level: float) -> float:
        """Return the difference that a test at this level would find four times in five."""
        return self.half_width(level) + self.half_width(2 * (1 - POWER))


@lru_cache(maxsize=4096)
def _quantile(freedom: float, probability: float) -> float:
    """Return Student's quantile; most intervals of a report ask for the same few."""
    return float(special.stdtrit(freedom, probability))
