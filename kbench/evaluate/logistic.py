"""The published linear probe: a search over the regularisation of logistic regression, then one test."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kbench.errors import UserError
from kbench.evaluate.accuracy import mean_per_class_recall, top1
from kbench.evaluate.regression import Regression
from kbench.evaluate.samples import Features
from kbench.experiment.schema import LinearProbe

GRID = np.logspace(-6, 6, 97)
"""Inverse regularisation strengths C of the published protocol."""

NEIGHBOURS = 3
VALIDATION_SHARE = 0.1
VALIDATION_SEED = 314
STRATIFIED_SEED = 42
METRICS = {"acc1": top1, "mean_per_class_recall": mean_per_class_recall}


class Tried(NamedTuple):
    """One C of the search: its metric on the validation split, and how its fit ended."""

    C: float
    value: float
    iterations: int
    converged: bool


@dataclass(frozen=True)
class ProbeResult:
    """Outcome: the chosen C, every C that was tried, the final fit's objective and convergence, and the test.

    The objective is scikit-learn's, C times the sum of the losses plus half the squared norm of the weights.
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
    settings: LinearProbe,
    metric: str,
    split: str = "random",
    device: str = "cpu",
) -> ProbeResult:
    """Choose C on the validation split, refit on train and validation, test once.

    The bias is not penalised. `metric` (acc1 or mean_per_class_recall) is both the criterion and the reported metric;
    with the latter, classes are weighted as scikit-learn's 'balanced'. Without `val`, a tenth of train is held out, by
    `split` at random or stratified. Protocol: released code of arXiv 2404.19228.
    """
    if len({part.width for part in (train, val, test) if part is not None}) > 1:
        raise UserError("the splits have different numbers of features")
    fitted_on, judged_on = held_out(train, split) if val is None else (train, val)
    options = {"balanced": metric == "mean_per_class_recall", "max_iterations": settings.max_iterations}
    regression = Regression([fitted_on], **options, device=device)

    def judge(strengths: Sequence[float]) -> list[Tried]:
        return [
            Tried(fit.C, METRICS[metric](fit.predict(judged_on), judged_on.labels), fit.iterations, fit.converged)
            for fit in regression.fit(strengths)
        ]

    best, path = search(settings.strides, judge)
    together = Regression([train] if val is None else [train, val], **options, device=device)
    (final,) = together.fit([best.C], start=regression.fits[best.C])
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


def search(strides: Sequence[int], judge: Callable[[Sequence[float]], Sequence[Tried]]) -> tuple[Tried, list[Tried]]:
    """Return the best of the grid, found coarse to fine, ties to the smallest C, and all that was tried by C."""
    tried: dict[int, Tried] = {}
    best = None
    for stride in strides:
        new = [index for index in candidates(stride, best) if index not in tried]
        tried.update(zip(new, judge([float(GRID[index]) for index in new]), strict=True))
        # max() keeps the first of equals, which is the smallest C.
        best = max(sorted(tried), key=lambda index: tried[index].value)
    return tried[best], [tried[index] for index in sorted(tried)]


def candidates(stride: int, best: int | None) -> list[int]:
    """Return the grid indices to try at a stride: the whole grid at first, then neighbours of the best so far."""
    if best is None:
        return list(range(0, len(GRID), stride))
    around = (best + offset * stride for offset in range(-NEIGHBOURS, NEIGHBOURS + 1))
    return [index for index in around if 0 <= index < len(GRID)]


def held_out(train: Features, split: str = "random") -> tuple[Features, Features]:
    """Split a tenth of the samples off, with the published seeds: 314 at random, 42 stratified.

    Stratified keeps the shares of the classes. It matters where classes are balanced: if the smaller part happens to
    be so exactly, even the smallest C classifies it well, wins the tie, and fails when refitted on the whole.
    """
    if split == "stratified":
        order = np.random.default_rng(STRATIFIED_SEED).permutation(len(train))
        order = order[np.argsort(train.labels[order], kind="stable")]
        chosen = np.arange(len(order)) % 10 == min(5, len(order) - 1)
    else:
        order = np.random.default_rng(VALIDATION_SEED).permutation(len(train))
        chosen = np.arange(len(order)) < max(1, round(VALIDATION_SHARE * len(order)))
    # In their own order, so that a memory map is read from its beginning to its end.
    return train.rows(np.sort(order[~chosen])), train.rows(np.sort(order[chosen]))
