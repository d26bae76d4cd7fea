"""Fits that stop where the released probe's solver does: a stand-in for cuML's LogisticRegression
on a GPU.

cuML minimises the mean loss plus |W|^2 / (2 C n) by L-BFGS with a memory of 5, from zero, and stops
as soon as the largest entry of the gradient is at most tol times the objective, or the objective
has changed by at most tol / 100 of itself over 10 iterations (cuML, cpp/src/glm/qn:
check_convergence in qn_util.cuh; tol 1e-4 is its default, which the release leaves as it is).
scipy's L-BFGS-B makes the same steps with another line search, in double precision. cuML itself has
not been run beside it.
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize

from kbench.measures.regression import Fit, Regression

MEMORY = 5
PAST = 10
CHANGE = 0.01
"""Of the tolerance: the change of the objective that counts as none."""


class Stopped:
    """Whether to stop, told of every iteration's objective and gradient."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance, self.history = tolerance, [np.inf] * PAST
        self.met = False

    def __call__(self, value: float, gradient: np.ndarray) -> bool:
        """Return whether cuML would stop after an iteration that ended here."""
        scale = max(value, self.tolerance)
        before = self.history[-PAST]
        self.history.append(value)
        self.met = bool(
            np.abs(gradient).max() <= self.tolerance * scale
            or abs(before - value) <= CHANGE * self.tolerance * scale
        )
        return self.met


def fit(regression: Regression, strengths: Sequence[float], tolerance: float) -> list[Fit]:
    """Return the fits at inverse regularisation strengths C, each from zero."""
    return [_fit(regression, C, tolerance) for C in strengths]


def _fit(regression: Regression, C: float, tolerance: float) -> Fit:
    samples, shape = (
        regression.samples,
        (
            len(regression.samples.classes),
            regression.samples.width + 1,
        ),
    )
    mean = samples.mean
    # Of the symmetric weight vectors w/2 and -w/2 of two classes the penalty is half that of w.
    halves = 2 if shape[0] == 2 else 1
    strength = torch.tensor([C / halves], dtype=torch.float64, device=regression.device)
    scale = halves / (C * len(samples.targets))

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        theta = torch.from_numpy(flat.reshape(shape)).to(regression.device)
        centred = theta.clone()
        # The regression's features have their mean taken out.
        centred[:, -1] += theta[:, :-1] @ mean
        value, (gradient,) = regression.objective(centred[None], strength)
        gradient[:, :-1] += torch.outer(gradient[:, -1], mean)
        return float(value[0]) * scale, gradient.flatten().cpu().numpy() * scale

    stopped = Stopped(tolerance)

    def after_iteration(intermediate_result: OptimizeResult) -> None:
        if stopped(float(intermediate_result.fun), objective(intermediate_result.x)[1]):
            raise StopIteration

    stopped(*objective(np.zeros(shape).ravel()))
    options = {"maxcor": MEMORY, "maxiter": regression.max_iterations, "ftol": 0.0, "gtol": 0.0}
    end = minimize(
        objective,
        np.zeros(shape).ravel(),
        jac=True,
        method="L-BFGS-B",
        callback=after_iteration,
        options=options,
    )
    theta = torch.from_numpy(end.x.reshape(shape)).to(regression.device)
    return Fit(
        C=float(C),
        classes=samples.classes,
        weights=theta[:, :-1],
        bias=theta[:, -1],
        objective=float(end.fun) / scale * halves,
        iterations=int(end.nit),
        converged=stopped.met,
    )
