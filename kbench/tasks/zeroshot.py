"""Zero-shot classification through the run's own similarity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kbench.measures.accuracy import (
    mean_per_class_recall,
    shares_right,
    shares_right_by_class,
    top1,
    top_k,
)
from kbench.tasks.base import Measure, Outcome, Task, random_feature_settings

if TYPE_CHECKING:
    from kbench.evaluate.run import TrainedRun
    from kbench.evaluate.store import Reader
    from kbench.experiment.schema import Evaluation

CHUNK = 4096


class ZeroShot(Task):
    """Classify every test image as the class whose prompts it is most similar to, once a
    random-feature draw.

    Scores are float32. Kept per sample: target (N,), prediction (N,) at the first draw, predictions
    (draws, N), scores (N, C) at the first draw. Of equal scores the first class is predicted.
    """

    name = "zeroshot"
    title = "zero-shot"
    kinds = ("classification",)
    metrics = (
        Measure(
            "acc1",
            "top-1 accuracy",
            share_of_samples=True,
            chance=lambda dataset: 1 / dataset.n_classes,
            samples=lambda kept: shares_right(kept["predictions"], kept["target"]),
            needs=frozenset({"predictions", "target"}),
        ),
        Measure(
            "acc5",
            "top-5 accuracy",
            share_of_samples=True,
            chance=lambda dataset: min(1.0, 5 / dataset.n_classes),
        ),
        Measure(
            "mean_per_class_recall",
            "mean per-class accuracy",
            chance=lambda dataset: 1 / dataset.n_classes,
            samples=lambda kept: shares_right_by_class(kept["predictions"], kept["target"]),
            needs=frozenset({"predictions", "target"}),
        ),
    )
    obeys = ("random_features",)
    uses_prompts = True
    place = 10

    def score(
        self, run: TrainedRun, features: Reader, evaluation: Evaluation, *, device: str
    ) -> Outcome:
        """Score once a draw."""
        targets = np.asarray(features.array("test/targets"))
        draws = [class_scores(run, features, draw) for draw in range(features.draws("prompts"))]
        predictions = np.stack([scores.argmax(axis=1) for scores in draws])
        prompts = features.array("prompt_classes")
        return Outcome(
            n_test=len(targets),
            values={
                "acc1": [top1(prediction, targets) for prediction in predictions],
                "acc5": [top_k(scores, targets, 5) for scores in draws],
                "mean_per_class_recall": [
                    mean_per_class_recall(prediction, targets) for prediction in predictions
                ],
            },
            settings={
                "classes": int(prompts.max()) + 1,
                "prompts_per_class": len(prompts) / (int(prompts.max()) + 1),
                **random_feature_settings(run, evaluation),
            },
            arrays={
                "target": targets,
                "prediction": predictions[0],
                "predictions": predictions,
                "scores": draws[0].astype(np.float32),
            },
        )


def class_scores(run: TrainedRun, features: Reader, draw: int) -> np.ndarray:
    """Return the scores (N, C) of test images with classes at one random-feature draw, without the
    logit scale.
    """
    import torch

    prompts = features.representation("prompts", draw)
    images = features.representation("test/images", draw)
    classes = torch.from_numpy(np.asarray(features.array("prompt_classes")))
    size = len(next(iter(images.values())))
    chunks = (
        run.similarity.class_scores(
            {key: rows[start : start + CHUNK] for key, rows in images.items()}, prompts, classes
        )
        for start in range(0, size, CHUNK)
    )
    return torch.cat(list(chunks)).numpy()
