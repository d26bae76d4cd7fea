"""Whether a published number was reproduced: a prediction interval and a test of equivalence.

The published number is one training of theirs. If our S trainings follow the same law, the
difference between our mean and it has variance  s^2 / S + s^2,  s being the sd of single trainings;
where the source gives an sd, it stands in the second term in place of ours. This is the prediction
interval for a further observation (Hahn and Meeker, Statistical Intervals, 1991): with S - 1
degrees of freedom it is exact at any S.

Test images: where both sides score the same images, their choice moves both numbers alike and
cancels; what is left of it (which of the images a training gets right) is already in s. Where the
source does not say that they are the same, each side has a choice of its own, of variance
p (100 - p) / n, known and therefore with the normal quantile:
    half-width(level)^2 = t(level, S - 1)^2 (s^2 / S + s_theirs^2) + z(level)^2 * 2 p (100 - p) / n
All functions take arrays as well, so that their level and power can be simulated.
"""

import numpy as np
from scipy import stats

LEVEL = 0.05


def one_run_variance(values: np.ndarray, n_test: int | None) -> np.ndarray:
    """Return the variance of single trainings from (..., S) values.

    Seeds that all tie (0 or 100 % above all) do not vary by nothing: for those it is p (100 - p) /
    n of the n test images, p moved inwards by one success and one failure. `n_test` None: values
    that are no percentages.
    """
    variance = np.var(values, axis=-1, ddof=1)
    return (
        variance
        if n_test is None
        else np.where(variance > 0, variance, image_variance(values, n_test))
    )


def image_variance(values: np.ndarray, n_test: int) -> np.ndarray:
    """Return p (100 - p) / n, in points squared, of (..., S) percentages; never zero (Laplace's
    p).
    """
    share = (np.mean(values, axis=-1) * n_test / 100 + 1) / (n_test + 2)
    return 1e4 * share * (1 - share) / n_test


def half_width(level: float, seeds: int, runs: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return half of the interval that leaves out `level`, from the variances due to trainings and
    to test images.
    """
    student, normal = stats.t.isf(level / 2, seeds - 1), stats.norm.isf(level / 2)
    return np.sqrt(student**2 * runs + normal**2 * images)


def p_value(difference: np.ndarray, seeds: int, runs: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return the two-sided p-value of 'no difference': the level whose interval ends at 0, found by
    bisection.
    """
    size = np.abs(difference)
    low, high = np.zeros(np.shape(size)), np.ones(np.shape(size))
    for _ in range(50):
        middle = (low + high) / 2
        wider = half_width(middle, seeds, runs, images) > size
        low, high = np.where(wider, middle, low), np.where(wider, high, middle)
    return high


def reproduced(
    difference: np.ndarray, margin: float, seeds: int, runs: np.ndarray, images: np.ndarray
) -> np.ndarray:
    """Return whether two one-sided tests, each at 5 %, place the true difference within the
    margin.
    """
    return np.abs(difference) + half_width(2 * LEVEL, seeds, runs, images) < margin


def outcome(difference: np.ndarray, p: np.ndarray, equivalent: np.ndarray) -> np.ndarray:
    """Return reproduced, higher, lower or inconclusive; a difference that is real but within the
    margin is reproduced.

    p: corrected for the number of cells that are looked at.
    """
    sign = np.where(difference > 0, "higher", "lower")
    return np.where(equivalent, "reproduced", np.where(p < LEVEL, sign, "inconclusive"))
