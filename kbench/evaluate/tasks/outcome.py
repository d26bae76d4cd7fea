"""What a task measures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kbench.evaluate.run import TrainedRun
from kbench.evaluate.store import Reader
from kbench.experiment.schema import Evaluation
from kbench.results.schema import Metric


@dataclass(frozen=True)
class Outcome:
    """Metrics, the settings that produced them, and arrays kept per sample."""

    n_test: int
    metrics: list[Metric]
    settings: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


Score = Callable[[TrainedRun, Reader, Evaluation, str], Outcome]
"""(run, features, evaluation, the dataset's main metric) -> outcome."""


def over_draws(name: str, values: Sequence[float | None], main_metric: str, **kwargs: Any) -> Metric:
    """Return a metric whose value is the mean over random-feature draws; undefined where any draw's is."""
    if any(value is None for value in values):
        return Metric(name=name, value=None, main=name == main_metric, **kwargs)
    several = len(values) > 1
    return Metric(
        name=name,
        value=float(np.mean(values)),
        draw_sd=float(np.std(values, ddof=1)) if several else None,
        draws=[float(value) for value in values] if several else [],
        main=name == main_metric,
        **kwargs,
    )


def random_feature_settings(run: TrainedRun, evaluation: Evaluation) -> dict[str, Any]:
    """Return what a result row says about random features; empty for a similarity without."""
    if not run.similarity.uses_random_features:
        return {}
    from kbench.similarity import EVALUATION_ESTIMATOR

    settings = evaluation.random_features
    return {
        "random_features": settings.number,
        "draws": settings.draws,
        "estimator": settings.estimator or EVALUATION_ESTIMATOR,
    }
