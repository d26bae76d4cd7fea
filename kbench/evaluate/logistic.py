"""Multinomial logistic regression with the published search over its regularisation."""

import warnings
from dataclasses import dataclass

import numpy as np

from kbench.errors import UserError
from kbench.evaluate.accuracy import mean_per_class_recall, top1
from kbench.experiment.schema import LinearProbe

GRID = np.logspace(-6, 6, 97)
"""Inverse regularisation strengths C of the published protocol."""

NEIGHBOURS = 3
VALIDATION_SHARE = 0.1
VALIDATION_SEED = 314
STRATIFIED_SEED = 42
METRICS = {"acc1": top1, "mean_per_class_recall": mean_per_class_recall}


@dataclass(frozen=True)
class Features:
    """Features (N, F) and class indices (N,) of one split."""

    x: np.ndarray
    y: np.ndarray

    def __post_init__(self) -> None:
        if self.x.ndim != 2 or self.y.shape != self.x.shape[:1] or not len(self.y):
            raise UserError(f"features {self.x.shape} and labels {self.y.shape} do not fit: expected (N, F) and (N,)")
        if not np.isfinite(self.x).all():
            raise UserError("features hold values that are not finite")

    def rows(self, index: np.ndarray) -> "Features":
        """Return some of the samples."""
        return Features(self.x[index], self.y[index])


@dataclass(frozen=True)
class ProbeResult:
    """Outcome of the search: C, its place on the grid, every C that was tried, and the final test."""

    C: float
    path: list[tuple[float, float]]
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
) -> ProbeResult:
    """Choose C on the validation split, refit on train and validation, test once.

    The bias is not penalised. `metric` (acc1 or mean_per_class_recall) is both the criterion and the reported metric;
    with the latter, classes are weighted as scikit-learn's 'balanced'. Without `val`, a tenth of train is held out, by
    `split` at random or stratified. Protocol: released code of arXiv 2404.19228.
    """
    if len(np.unique(train.y)) < 2:
        raise UserError("the linear probe needs at least two classes in the train split")
    together = train if val is None else Features(np.concatenate([train.x, val.x]), np.concatenate([train.y, val.y]))
    fitted_on, judged_on = held_out(train, split) if val is None else (train, val)
    solver = _Solver(settings, balanced=metric == "mean_per_class_recall")
    tried: dict[int, float] = {}
    best = None
    for stride in settings.strides:
        for index in candidates(stride, best):
            if index not in tried:
                tried[index] = METRICS[metric](solver.fit(fitted_on, GRID[index]).predict(judged_on.x), judged_on.y)
        # max() keeps the first of equals, which is the smallest C.
        best = max(sorted(tried), key=tried.__getitem__)
    final = solver.fit(together, GRID[best])
    predictions = final.predict(test.x)
    return ProbeResult(
        C=float(GRID[best]),
        path=[(float(GRID[index]), tried[index]) for index in sorted(tried)],
        converged=solver.converged,
        predictions=predictions,
        acc1=top1(predictions, test.y),
        mean_per_class_recall=mean_per_class_recall(predictions, test.y),
    )


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
        order = np.random.default_rng(STRATIFIED_SEED).permutation(len(train.y))
        order = order[np.argsort(train.y[order], kind="stable")]
        chosen = np.arange(len(order)) % 10 == min(5, len(order) - 1)
        return train.rows(order[~chosen]), train.rows(order[chosen])
    order = np.random.default_rng(VALIDATION_SEED).permutation(len(train.y))
    size = max(1, round(VALIDATION_SHARE * len(order)))
    return train.rows(order[size:]), train.rows(order[:size])


class _Solver:
    """scikit-learn's L-BFGS in float64; remembers whether the last fit converged.

    In float32 it stops before the bias is right where the regularisation is strong, and says that it converged: a
    useless C then looks as good as the best and, being the smallest, wins.
    """

    def __init__(self, settings: LinearProbe, balanced: bool) -> None:
        self.settings, self.balanced, self.converged = settings, balanced, False

    def fit(self, data: Features, inverse_strength: float):
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(
            C=inverse_strength,
            max_iter=self.settings.max_iterations,
            class_weight="balanced" if self.balanced else None,
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(data.x.astype(np.float64), data.y)
        self.converged = not any(issubclass(w.category, ConvergenceWarning) for w in caught)
        return model
