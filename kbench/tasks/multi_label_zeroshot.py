"""Zero-shot classification of images that show several classes, through the run's own
similarity.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from kbench.tasks.base import Measure, Outcome, Task, random_feature_settings
from kbench.tasks.zeroshot import class_scores

if TYPE_CHECKING:
    from kbench.evaluate.run import TrainedRun
    from kbench.evaluate.store import Reader
    from kbench.experiment.schema import Evaluation


class MultiLabelZeroShot(Task):
    """Rank all test images by each class's score, once a random-feature draw.

    CLIP_benchmark's mean_average_precision of a set whose labels are vectors of 0 and 1, such as
    voc2007_multilabel: the mean over classes of the precision at the images that show the class,
    down the ranking. Images of the same score share a rank here, where CLIP_benchmark leaves their
    order to the sort. A class that no image shows counts as 0, as it does there. Kept per sample:
    target (N, C), scores (N, C) at the first draw.
    """

    name = "multi_label_zeroshot"
    title = "multi-label zero-shot"
    kinds = ("multi_label",)
    metrics = (Measure("mean_average_precision", "mean average precision"),)
    obeys = ("random_features",)
    uses_prompts = True
    place = 15

    def score(
        self, run: TrainedRun, features: Reader, evaluation: Evaluation, *, device: str
    ) -> Outcome:
        """Score once a draw."""
        targets = np.asarray(features.array("test/targets"))
        draws = [class_scores(run, features, draw) for draw in range(features.draws("prompts"))]
        return Outcome(
            n_test=len(targets),
            values={"mean_average_precision": [_average(targets, scores) for scores in draws]},
            settings={
                "classes": targets.shape[1],
                "classes_shown": int(targets.any(axis=0).sum()),
                **random_feature_settings(run, evaluation),
            },
            arrays={
                "target": targets.astype(np.uint8),
                "scores": draws[0].astype(np.float32),
            },
        )


def _average(targets: np.ndarray, scores: np.ndarray) -> float:
    """Return the mean average precision of scores (N, C), with targets (N, C) of 0 and 1."""
    from sklearn.metrics import average_precision_score

    with warnings.catch_warnings():
        # Of a class that nothing shows, whose precision it takes for 0.
        warnings.filterwarnings("ignore", message="No positive class found")
        return float(average_precision_score(targets, scores, average="macro"))
