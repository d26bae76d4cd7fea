"""Logistic regression on a few images of each class."""

from dataclasses import dataclass

import numpy as np

from kbench.measures.accuracy import top1
from kbench.measures.labelled_features import Features
from kbench.measures.logistic import Ranking, refuse_unknown_labels, search
from kbench.measures.regression import Regression
from kbench.measures.settings import LinearProbeSettings
from kbench.seeds import derive

JUDGED_ON = 4
"""Most images of a class that a C is chosen on: min(shots, 4), as in CoOp (arXiv 2109.01134)."""


@dataclass(frozen=True)
class FewShotResult:
    """What one draw of images gave: predictions (N,) on the test split, the chosen C, and whether
    its fit converged.
    """

    predictions: np.ndarray
    C: float
    converged: bool


def draw(labels: np.ndarray, shots: int, seed: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the indices of `shots` images of each class to fit on, and of min(shots, 4) others to
    choose C on; None where a class has too few.

    Each class has one random order a seed, of which the first are taken: fewer shots are some of
    the same images, and every model is fitted on the same.
    """
    order = np.random.default_rng(derive("few shots", seed)).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    judged_on = min(shots, JUDGED_ON)
    if counts.min() < shots + judged_on:
        return None
    first = (starts[:, None] + np.arange(shots + judged_on)).T
    return np.sort(order[first[:shots]].ravel()), np.sort(order[first[shots:]].ravel())


def probe(
    train: Features,
    test: Features,
    shots: int,
    seed: int,
    settings: LinearProbeSettings,
    device: str = "cpu",
) -> FewShotResult | None:
    """Choose C on a few images, fit on others, and predict the test split; None where a class has
    too few images.

    The fit is on the shots alone, as in CLIP_benchmark's few-shot probe: those that C was chosen on
    would be more shots than stated. UserError where test has a label that train has not.
    """
    refuse_unknown_labels(train, test, "test")
    drawn = draw(train.labels, shots, seed)
    if drawn is None:
        return None
    fitted_on, judged_on = map(train.rows, drawn)
    regression = Regression([fitted_on], max_iterations=settings.max_iterations, device=device)
    best, _ = search(settings.strides, Ranking(regression, judged_on, top1).judge)
    (final,) = regression.fit([best.C])
    return FewShotResult(final.predict(test), final.C, final.converged)
