"""The published linear probe: a search over the regularisation of logistic regression, then one
test.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kbench.errors import UserError
from kbench.measures import stopping
from kbench.measures.accuracy import mean_per_class_recall, top1
from kbench.measures.labelled_features import Features
from kbench.measures.regression import TOLERANCE, Fit, Regression
from kbench.measures.settings import LinearProbeSettings
from kbench.measures.splits import held_out

GRID = np.logspace(-6, 6, 97)
"""Inverse regularisation strengths C of the published protocol."""

NEIGHBOURS = 3
TOLERANCES = (1e-7, 1e-9, 1e-11, TOLERANCE)
"""Estimated relative excesses of the objective that fits are made to, as long as the best is not
certain.
"""

DOUBT = 4.0
"""A prediction is doubtful whose score leads by less than DOUBT sqrt(tolerance) times the mean
lead: scores are off by about the square root of what the objective is. On CIFAR-10, where further
iterations changed a prediction, it had led by 1.7 sqrt(tolerance) at most."""

METRICS = {"acc1": top1, "mean_per_class_recall": mean_per_class_recall}


class Tried(NamedTuple):
    """One C of the search: its metric on the validation split, and how its fit ended."""

    C: float
    value: float
    iterations: int
    converged: bool


@dataclass(frozen=True)
class ProbeResult:
    """Outcome: the chosen C, every C that was tried, the final fit's objective and convergence, and
    the test.

    The objective is scikit-learn's, C times the sum of the losses plus half the squared norm of the
    weights.
    """

    C: float
    path: list[Tried]
    objective: float
    iterations: int
    converged: bool
    predictions: np.ndarray
    acc1: float
    mean_per_class_recall: float


def probe(
    train: Features,
    val: Features | None,
    test: Features,
    settings: LinearProbeSettings,
    metric: str,
    split: str = "random",
    device: str = "cpu",
) -> ProbeResult:
    """Choose C on the validation split, refit on train and validation, test once.

    The bias is not penalised. `metric` (acc1 or mean_per_class_recall) is both the criterion and
    the reported metric; with the latter, classes are weighted as scikit-learn's 'balanced'. Without
    `val`, a tenth of train is held out, by the method `split` of kbench.measures.splits. Fits are
    exact, or stop at `settings.tolerance`. Protocol: released code of arXiv 2404.19228. UserError
    where a split has a label that train has not.
    """
    if len({part.width for part in (train, val, test) if part is not None}) > 1:
        raise UserError("the splits have different numbers of features")
    fitted_on, judged_on = held_out(train, split) if val is None else (train, val)
    options = {
        "balanced": metric == "mean_per_class_recall",
        "max_iterations": settings.max_iterations,
    }
    regression = Regression([fitted_on], **options, device=device)
    for name, part in (("val", val), ("test", test)):
        if part is not None:
            refuse_unknown_labels(train, part, name)
    together = Regression([train] if val is None else [train, val], **options, device=device)
    if settings.tolerance is None:
        rank = Ranking(regression, judged_on, METRICS[metric])
        best, path = search(settings.strides, rank.judge)
        (final,) = together.fit([best.C], start=regression.fits[best.C])
    else:
        judge = _stopped_early(regression, judged_on, METRICS[metric], settings.tolerance)
        best, path = search(settings.strides, judge)
        (final,) = stopping.fit(together, [best.C], settings.tolerance)
    predictions = final.predict(test)
    return ProbeResult(
        C=final.C,
        path=path,
        objective=final.objective,
        iterations=final.iterations,
        converged=final.converged,
        predictions=predictions,
        acc1=top1(predictions, test.labels),
        mean_per_class_recall=mean_per_class_recall(predictions, test.labels),
    )


def refuse_unknown_labels(train: Features, part: Features, name: str) -> None:
    """Raise UserError if a split has a label that train has not."""
    unknown = np.setdiff1d(part.labels, train.labels)
    if len(unknown):
        raise UserError(
            f"{name} has {len(unknown)} labels that train has not, the first {unknown[0]}; train"
            f" has {len(np.unique(train.labels))}, from {train.labels.min()} to"
            f" {train.labels.max()}"
        )


def _stopped_early(
    regression: Regression,
    held_out: Features,
    metric: Callable[[np.ndarray, np.ndarray], float],
    tolerance: float,
) -> Callable[[Sequence[float]], list[Tried]]:
    """Return a judge whose fits stop where the released solver's do, and are taken as they are."""

    def judge(strengths: Sequence[float]) -> list[Tried]:
        fits = stopping.fit(regression, strengths, tolerance)
        return [
            Tried(
                fit.C, metric(fit.predict(held_out), held_out.labels), fit.iterations, fit.converged
            )
            for fit in fits
        ]

    return judge


class Ranking:
    """Tells which C does best on held-out samples, with fits as exact as it takes to tell.

    A C whose doubtful predictions, were all of them to turn out right, would not make it the best
    is left as it is.
    """

    def __init__(
        self,
        regression: Regression,
        held_out: Features,
        metric: Callable[[np.ndarray, np.ndarray], float],
    ) -> None:
        self.regression, self.held_out, self.metric = regression, held_out, metric
        self.reached = -np.inf
        """What the best of all so far has, even if its doubtful predictions turn out wrong."""

    def judge(self, strengths: Sequence[float]) -> list[Tried]:
        """Fit several C together and tell how they do."""
        bounds, left = {}, list(strengths)
        for tolerance in TOLERANCES:
            if left:
                bounds |= {
                    fit.C: self._bounds(fit, tolerance)
                    for fit in self.regression.fit(left, tolerance=tolerance)
                }
                self.reached = max(self.reached, *(least for least, _ in bounds.values()))
                left = [
                    C
                    for C, (least, most) in bounds.items()
                    if least < most and most >= self.reached
                ]
        return [self._tried(self.regression.fits[C]) for C in strengths]

    def _tried(self, fit: Fit) -> Tried:
        value = self.metric(fit.predict(self.held_out), self.held_out.labels)
        return Tried(fit.C, value, fit.iterations, fit.converged)

    def _bounds(self, fit: Fit, tolerance: float) -> tuple[float, float]:
        """Return the least and the most that the metric is at the minimum."""
        labels, leads = fit.predict_with_lead(self.held_out)
        right, doubtful = self.held_out.labels, leads < DOUBT * tolerance**0.5 * leads.mean()
        return (
            self.metric(np.where(doubtful & (labels == right), right - 1, labels), right),
            self.metric(np.where(doubtful, right, labels), right),
        )


def search(
    strides: Sequence[int], judge: Callable[[Sequence[float]], Sequence[Tried]]
) -> tuple[Tried, list[Tried]]:
    """Return the best of the grid, found coarse to fine, ties to the smallest C, and all that was
    tried by C.
    """
    tried: dict[int, Tried] = {}
    best = None
    for stride in strides:
        new = [index for index in candidates(stride, best) if index not in tried]
        tried.update(zip(new, judge([float(GRID[index]) for index in new]), strict=True))
        # max() keeps the first of equals, which is the smallest C.
        best = max(sorted(tried), key=lambda index: tried[index].value)
    return tried[best], [tried[index] for index in sorted(tried)]


def candidates(stride: int, best: int | None) -> list[int]:
    """Return the grid indices to try at a stride: the whole grid at first, then neighbours of the
    best so far.

    At the grid's edge the window shifts inwards and keeps its seven values, as in the released
    code.
    """
    if best is None:
        return list(range(0, len(GRID), stride))
    reach = NEIGHBOURS * stride
    middle = max(reach, min(best, len(GRID) - 1 - reach))
    around = range(middle - reach, middle + reach + 1, stride)
    # A stride that no coarser one went before may be too wide for a window.
    return [index for index in around if 0 <= index < len(GRID)]
