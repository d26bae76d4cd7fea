"""How far zero-shot probabilities can be trusted: a fifth task, in workflow/tasks and in `evaluation.tasks`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kbench.tasks.base import Measure, Outcome, Task, random_feature_settings
from kbench.tasks.zeroshot import class_scores

if TYPE_CHECKING:
    from kbench.evaluate.run import TrainedRun
    from kbench.evaluate.store import Reader
    from kbench.experiment.schema import Evaluation

BINS = 15  # of equal width, as in Guo et al., arXiv 1706.04599


class Calibration(Task):
    """Probabilities are the softmax of logits over classes; kept: the surprise (draws, N) of each true class, nats."""

    name = "calibration"
    title = "calibration"
    kinds = ("classification",)
    metrics = (
        Measure("ece", "expected calibration error", higher_is_better=False),
        Measure(
            "nll",
            "negative log-likelihood",
            "nats",
            higher_is_better=False,
            samples=lambda kept: kept["surprise"].mean(axis=0),
            needs=frozenset({"surprise"}),
        ),
    )
    obeys = ("random_features",)
    uses_prompts = True
    every_metric = True

    def score(self, run: TrainedRun, features: Reader, evaluation: Evaluation, *, device: str) -> Outcome:
        """Score once a random-feature draw."""
        targets, scale = np.asarray(features.array("test/targets")), float(run.similarity.logit_scale())
        logits = [scale * class_scores(run, features, draw).astype(float) for draw in range(features.draws("prompts"))]
        logs = [each - np.logaddexp.reduce(each, axis=1, keepdims=True) for each in logits]
        surprise = np.stack([-each[np.arange(len(targets)), targets] for each in logs])
        return Outcome(
            n_test=len(targets),
            values={"ece": [error(np.exp(each), targets) for each in logs], "nll": surprise.mean(axis=1).tolist()},
            settings={"bins": BINS, **random_feature_settings(run, evaluation)},
            arrays={"surprise": surprise},
        )


def error(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean distance of confidence and accuracy over bins of confidence, of probabilities (N, C)."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return float(np.abs(np.bincount(bins, weights=confidence - right, minlength=BINS)).sum() / len(targets))
