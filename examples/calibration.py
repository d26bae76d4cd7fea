"""How far zero-shot probabilities can be trusted: a fifth task, for workflow/tasks."""

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
NLL = "negative log-likelihood"


def surprise(kept: dict[str, np.ndarray]) -> np.ndarray:
    """Return how surprising each image's class was (N,), nats, from (draws, N)."""
    return kept["surprise"].mean(axis=0)


class Calibration(Task):
    """Probabilities are the softmax of logits over classes; kept: the surprise of true classes."""

    name, title, kinds = "calibration", "calibration", ("classification",)
    metrics = (
        Measure("ece", "expected calibration error", higher_is_better=False),
        Measure("nll", NLL, "nats", False, samples=surprise, needs=frozenset({"surprise"})),
    )
    obeys, uses_prompts, every_metric = ("random_features",), True, True

    def score(self, run: TrainedRun, features: Reader, evaluation: Evaluation, **_: str) -> Outcome:
        """Score once a random-feature draw."""
        targets = np.asarray(features.array("test/targets"))
        draws = [class_scores(run, features, draw) for draw in range(features.draws("prompts"))]
        logits = float(run.similarity.logit_scale()) * np.stack(draws).astype(float)
        logs = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
        nats = -logs[:, np.arange(len(targets)), targets]
        errors = [calibration_error(np.exp(each), targets) for each in logs]
        return Outcome(
            n_test=len(targets),
            values={"ece": errors, "nll": nats.mean(axis=1).tolist()},
            settings={"bins": BINS, **random_feature_settings(run, evaluation)},
            arrays={"surprise": nats},
        )


def calibration_error(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean distance of confidence and accuracy over bins, of probabilities (N, C)."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    sums = np.bincount(bins, weights=confidence - right, minlength=BINS)
    return float(np.abs(sums).sum() / len(targets))
