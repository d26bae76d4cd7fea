"""The linear probe on a few images of each class."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from kbench.measures.accuracy import shares_right, top1
from kbench.tasks.base import Arrays, Measure, Outcome, Task

if TYPE_CHECKING:
    from kbench.evaluate.run import TrainedRun
    from kbench.evaluate.store import Reader
    from kbench.experiment.schema import Evaluation
    from kbench.measures.few_shot import FewShotResult

SHOTS = (1, 2, 4, 8, 16)
"""Images of each class, as in CLIP's own figure of few-shot probes (arXiv 2103.00020)."""

DRAWS = 3
"""Times that images are drawn."""


def _right(kept: Arrays, shots: int) -> np.ndarray:
    """Return the share of draws in which each test image is predicted right, (N,)."""
    return shares_right(kept[f"prediction_{shots}_shot"], kept["target"])


def _measure(shots: int) -> Measure:
    return Measure(
        f"acc1_{shots}_shot",
        f"top-1 accuracy, {shots} {'image' if shots == 1 else 'images'} a class",
        share_of_samples=True,
        chance=lambda dataset: 1 / dataset.n_classes,
        samples=partial(_right, shots=shots),
        needs=frozenset({f"prediction_{shots}_shot", "target"}),
    )


class FewShotProbe(Task):
    """Logistic regression on 1, 2, 4, 8 and 16 images of each class after projection, three times
    drawn.

    C is chosen on min(shots, 4) other images of each class; undefined where a class has too few.
    Kept: target (N,) and prediction_K_shot (draws, N).
    """

    name = "few_shot_probe"
    title = "few-shot linear probe"
    kinds = ("classification",)
    metrics = tuple(map(_measure, SHOTS))
    fits = True
    by_default = False
    obeys = ("linear_probe", "random_features.estimator")
    place = 25
    every_metric = True

    def score(
        self, run: TrainedRun, features: Reader, evaluation: Evaluation, *, device: str
    ) -> Outcome:
        """Fit once for each number of shots and draw."""
        target = np.asarray(features.array("test/targets"))
        drawn = {shots: _drawn(features, evaluation, shots, device) for shots in SHOTS}
        defined = {shots: results for shots, results in drawn.items() if results}
        fits = [result for results in defined.values() for result in results]
        return Outcome(
            n_test=len(target),
            values={
                f"acc1_{shots}_shot": (
                    [top1(result.predictions, target) for result in results] if results else None
                )
                for shots, results in drawn.items()
            },
            settings={
                "draws": DRAWS,
                "converged": all(result.converged for result in fits),
                "strides": [float(stride) for stride in evaluation.linear_probe.strides],
                **{
                    f"C_{shots}_shot": [result.C for result in results]
                    for shots, results in defined.items()
                },
            },
            arrays={
                "target": target,
                **{
                    f"prediction_{shots}_shot": np.stack([one.predictions for one in results])
                    for shots, results in defined.items()
                },
            },
        )


def _drawn(
    features: Reader, evaluation: Evaluation, shots: int, device: str
) -> list[FewShotResult] | None:
    """Return what each draw gives; None where a class has too few images."""
    from kbench.measures.few_shot import probe
    from kbench.measures.labelled_features import Features

    train, test = (
        Features(
            features.array(f"{name}/after_projection"),
            np.asarray(features.array(f"{name}/targets")),
        )
        for name in ("train", "test")
    )
    results = [
        probe(train, test, shots, seed, evaluation.linear_probe, device) for seed in range(DRAWS)
    ]
    return None if None in results else results
