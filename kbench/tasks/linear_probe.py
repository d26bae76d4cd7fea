"""The published linear probe, on features after and before the towers' projection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kbench.measures.accuracy import shares_right, shares_right_by_class
from kbench.tasks.base import Measure, Outcome, Task

if TYPE_CHECKING:
    from kbench.evaluate.run import TrainedRun
    from kbench.evaluate.store import Reader
    from kbench.experiment.schema import Evaluation
    from kbench.measures.logistic import ProbeResult

AFTER, BEFORE = "after_projection", "before_projection"


class LinearProbe(Task):
    """Probe both embeddings; metrics of the one before projection carry the suffix
    '_before_projection'.

    Kept: target and prediction (N,) after projection, and path, the inverse strengths C that were
    tried.
    """

    name = "linear_probe"
    title = "linear probe"
    kinds = ("classification",)
    metrics = (
        Measure(
            "acc1",
            "top-1 accuracy",
            share_of_samples=True,
            chance=lambda dataset: 1 / dataset.n_classes,
            samples=lambda kept: shares_right(kept["prediction"], kept["target"]),
            needs=frozenset({"prediction", "target"}),
        ),
        Measure(
            "mean_per_class_recall",
            "mean per-class accuracy",
            chance=lambda dataset: 1 / dataset.n_classes,
            samples=lambda kept: shares_right_by_class(kept["prediction"], kept["target"]),
            needs=frozenset({"prediction", "target"}),
        ),
        Measure(
            "acc1_before_projection",
            "top-1 accuracy before projection",
            share_of_samples=True,
            chance=lambda dataset: 1 / dataset.n_classes,
            of="acc1",
            which="before",
        ),
        Measure(
            "mean_per_class_recall_before_projection",
            "mean per-class accuracy before projection",
            chance=lambda dataset: 1 / dataset.n_classes,
            of="mean_per_class_recall",
            which="before",
        ),
    )
    fits = True
    obeys = ("linear_probe", "random_features.estimator")
    place = 20

    def score(
        self, run: TrainedRun, features: Reader, evaluation: Evaluation, *, device: str
    ) -> Outcome:
        """Search, refit and test on both embeddings; the dataset's main metric is the criterion."""
        settings, dataset = evaluation.linear_probe, features.key["dataset"]
        criterion = self.main(dataset["main_metric"])
        after, before = (
            _probe(features, evaluation, criterion, name, device) for name in (AFTER, BEFORE)
        )
        return Outcome(
            n_test=len(after.predictions),
            values={
                "acc1": after.acc1,
                "mean_per_class_recall": after.mean_per_class_recall,
                "acc1_before_projection": before.acc1,
                "mean_per_class_recall_before_projection": before.mean_per_class_recall,
            },
            settings={
                "C": after.C,
                "C_before_projection": before.C,
                "converged": after.converged and before.converged,
                "strides": [float(stride) for stride in settings.strides],
                "random_features": (
                    settings.random_features if run.similarity.uses_random_features else None
                ),
                "released_scaling": settings.released_scaling,
                "held_out": dataset["val_split"] or dataset["held_out"],
                "tolerance": settings.tolerance,
                "released_resize": settings.released_resize,
            },
            arrays={
                "target": np.asarray(features.array("test/targets")),
                "prediction": after.predictions,
                "path": np.array(after.path),
            },
        )


def _probe(
    features: Reader, evaluation: Evaluation, criterion: str, embedding: str, device: str
) -> ProbeResult:
    from kbench.measures.labelled_features import Features
    from kbench.measures.logistic import probe

    def split(name: str) -> Features:
        return Features(
            features.array(f"{name}/{embedding}"), np.asarray(features.array(f"{name}/targets"))
        )

    val = split("val") if f"val/{embedding}" in features.shapes else None
    held_out = features.key["dataset"]["held_out"]
    return probe(
        split("train"),
        val,
        split("test"),
        evaluation.linear_probe,
        criterion,
        held_out,
        device=device,
    )
