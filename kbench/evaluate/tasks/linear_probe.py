"""The published linear probe, on features after and before the towers' projection."""

import numpy as np

from kbench.evaluate.logistic import ProbeResult, probe
from kbench.evaluate.run import TrainedRun
from kbench.evaluate.samples import Features
from kbench.evaluate.store import Reader
from kbench.evaluate.tasks.outcome import Outcome
from kbench.experiment.schema import Evaluation
from kbench.results.schema import Metric

OBEYS = ("linear_probe", "random_features.estimator")
"""Evaluation settings that decide the result."""

EMBEDDINGS = ("after_projection", "before_projection")


def score(run: TrainedRun, features: Reader, evaluation: Evaluation, main_metric: str) -> Outcome:
    """Probe both embeddings; metrics of the one before projection carry the suffix '_before_projection'."""
    results = {name: _probe(features, evaluation, main_metric, name) for name in EMBEDDINGS}
    after = results["after_projection"]
    return Outcome(
        n_test=len(after.predictions),
        metrics=[
            Metric(
                name=measure if name == "after_projection" else f"{measure}_{name}",
                value=getattr(result, measure),
                main=name == "after_projection" and measure == main_metric,
            )
            for name, result in results.items()
            for measure in ("acc1", "mean_per_class_recall")
        ],
        settings={
            "C": after.C,
            "C_before_projection": results["before_projection"].C,
            "converged": all(result.converged for result in results.values()),
            "strides": [float(stride) for stride in evaluation.linear_probe.strides],
            "random_features": evaluation.linear_probe.random_features if run.similarity.uses_random_features else None,
            "released_scaling": evaluation.linear_probe.released_scaling,
            "held_out": features.key["dataset"]["val_split"] or features.key["dataset"]["held_out"],
            "tolerance": evaluation.linear_probe.tolerance,
            "released_resize": evaluation.linear_probe.released_resize,
        },
        arrays={
            "target": np.asarray(features.array("test/targets")),
            "prediction": after.predictions,
            "path": np.array(after.path),
        },
    )


def _probe(features: Reader, evaluation: Evaluation, metric: str, embedding: str) -> ProbeResult:
    def split(name: str) -> Features:
        return Features(features.array(f"{name}/{embedding}"), np.asarray(features.array(f"{name}/targets")))

    val = split("val") if f"val/{embedding}" in features.shapes else None
    held_out = features.key["dataset"]["held_out"]
    return probe(split("train"), val, split("test"), evaluation.linear_probe, metric, held_out)
