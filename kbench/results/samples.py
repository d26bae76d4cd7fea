"""Scores of single test images, whose mean is the reported metric: what paired tests compare."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kbench.errors import UserError
from kbench.results.schema import TaskResult
from kbench.results.store import Store


def per_image(store: Store, result: TaskResult, metric: str) -> np.ndarray | None:
    """Return the (N,) scores of the test images, averaged over draws; their mean is the metric.

    For acc1 a score is whether the image is classified correctly (a fraction over random-feature draws); for
    mean_per_class_recall it is that, times N / (classes * images of its class). None if the metric is no mean
    over images or no predictions were stored. UserError if the arrays do not give the reported metric.
    """
    path = store.arrays(result)
    weight = {"acc1": _equal, "mean_per_class_recall": _by_class}.get(metric)
    if path is None or weight is None:
        return None
    arrays = read(path, ("target", "prediction", "predictions"))
    if "target" not in arrays or not {"prediction", "predictions"} & set(arrays):
        return None
    target = arrays["target"]
    prediction = np.atleast_2d(arrays.get("predictions", arrays.get("prediction")))
    if prediction.shape[0] == 0:
        prediction = np.atleast_2d(arrays["prediction"])
    if prediction.shape[1:] != target.shape:
        raise UserError(f"{path}: predictions of shape {prediction.shape} for {target.shape[0]} targets")
    scores = (prediction == target).mean(axis=0) * weight(target)
    _check(path, result, metric, scores)
    return scores


def read(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return those of the named arrays that a file holds; UserError if it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in names if name in stored}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def _equal(target: np.ndarray) -> np.ndarray:
    return np.ones(len(target))


def _by_class(target: np.ndarray) -> np.ndarray:
    classes, index, counts = np.unique(target, return_inverse=True, return_counts=True)
    return len(target) / (len(classes) * counts[index])


def _check(path: Path, result: TaskResult, metric: str, scores: np.ndarray) -> None:
    reported = next((entry.value for entry in result.metrics if entry.name == metric), None)
    if reported is None or len(scores) != result.n_test or abs(scores.mean() - reported) > 1e-4:
        raise UserError(
            f"{path} does not belong to the result beside it: it gives {metric} {scores.mean():.4f} on "
            f"{len(scores)} images, the result says {reported} on {result.n_test}"
        )
