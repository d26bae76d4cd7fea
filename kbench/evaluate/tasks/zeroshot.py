"""Zero-shot classification through the run's own similarity."""

import numpy as np
import torch

from kbench.evaluate.accuracy import mean_per_class_recall, top1, top_k
from kbench.evaluate.run import TrainedRun
from kbench.evaluate.store import Reader
from kbench.evaluate.tasks.outcome import Outcome, over_draws, random_feature_settings
from kbench.experiment.schema import Evaluation

OBEYS = ("random_features",)
"""Evaluation settings that decide the result."""

CHUNK = 4096


@torch.inference_mode()
def score(run: TrainedRun, features: Reader, evaluation: Evaluation, main_metric: str) -> Outcome:
    """Classify every test image as the class whose prompts it is most similar to, once a random-feature draw.

    Scores are float32. Kept per sample: target (N,), prediction (N,) at the first draw, predictions (draws, N),
    scores (N, C) at the first draw. Of equal scores the first class is predicted.
    """
    targets = np.asarray(features.array("test/targets"))
    draws = [class_scores(run, features, draw) for draw in range(_draws(features))]
    predictions = np.stack([scores.argmax(axis=1) for scores in draws])
    measures = {
        "acc1": [top1(prediction, targets) for prediction in predictions],
        "acc5": [top_k(scores, targets, 5) for scores in draws],
        "mean_per_class_recall": [mean_per_class_recall(prediction, targets) for prediction in predictions],
    }
    prompts = features.array("prompt_classes")
    return Outcome(
        n_test=len(targets),
        metrics=[over_draws(name, values, main_metric) for name, values in measures.items()],
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
    """Return the scores (N, C) of test images with classes at one random-feature draw, without the logit scale."""
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


def _draws(features: Reader) -> int:
    return next(shape[1] for name, shape in features.shapes.items() if name.startswith("prompts/"))
