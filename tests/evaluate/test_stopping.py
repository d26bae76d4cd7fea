"""The released solver's rule of stopping, on a library's L-BFGS."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from kbench.measures import stopping
from kbench.measures.labelled_features import Features
from kbench.measures.regression import Regression


def problem(seed, classes=5, size=600, width=20):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, size)
    x = (
        generator.normal(size=(classes, width))[labels]
        + 2.5 * generator.normal(size=(size, width))
        + 3.0
    )
    return Features(x, labels)


class TestRule:
    def test_a_gradient_small_beside_the_objective_stops(self):
        assert stopping.Stopped(1e-4)(2.0, np.array([1.9e-4, -1.9e-4]))
        assert not stopping.Stopped(1e-4)(2.0, np.array([0.0, -2.1e-4]))

    def test_ten_iterations_without_change_stop(self):
        stopped = stopping.Stopped(1e-4)
        values = [1.0, *(0.5 + 1e-9 * step for step in range(30))]
        said = [stopped(value, np.ones(3)) for value in values]
        assert said.index(True) == 11, "the change is looked at over ten iterations"


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("C", [1e-3, 1.0])
def test_a_small_tolerance_ends_at_scikit_learns_minimum(classes, C):
    data = problem(0, classes)
    (found,) = stopping.fit(Regression([data]), [C], 1e-7)
    theirs = LogisticRegression(C=C, tol=1e-10, max_iter=10_000).fit(data.x, data.y)
    assert found.converged
    assert (found.predict(data) == theirs.predict(data.x)).mean() > 0.995
    (exact,) = Regression([data]).fit([C])
    assert found.objective == pytest.approx(exact.objective, rel=1e-6)


def test_the_released_tolerance_stops_earlier_and_says_that_it_converged():
    regression = Regression([problem(1)])
    (early,), (late,) = (stopping.fit(regression, [100.0], tolerance) for tolerance in (1e-4, 1e-9))
    assert early.converged and late.converged and 0 < early.iterations < late.iterations
    assert early.objective > late.objective


def test_too_few_iterations_are_reported():
    (found,) = stopping.fit(Regression([problem(2)], max_iterations=2), [1.0], 1e-4)
    assert not found.converged and found.iterations == 2
