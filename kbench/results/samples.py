"""Scores of single test images, whose mean is the reported metric: what paired tests compare."""

import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from kbench.errors import UserError
from kbench.results.schema import TaskResult
from kbench.results.store import Store

NAMES = (
    "target",
    "prediction",
    "predictions",
    "image_to_text_ranks",
    "text_to_image_ranks",
    "caption_images",
    "excess_losses",
)
Arrays = dict[str, np.ndarray]


def per_image(store: Store, result: TaskResult, metric: str) -> np.ndarray | None:
    """Return the (N,) scores of the test images, averaged over draws; their mean is the metric.

    acc1: whether the image is classified correctly (a fraction over random-feature draws). mean_per_class_recall:
    that, times N / (classes * images of its class). text_retrieval_recall@k: whether the image finds one of its
    captions. image_retrieval_recall@k: how many of the image's captions find it, times N / captions, so that an
    image's captions are one sample. excess_loss: that of each pair, or of each batch of pairs.
    None if the metric is no mean over samples or nothing was stored. UserError if the arrays do not give the metric.
    """
    path = store.arrays(result)
    found = next((entry for entry in _RULES if re.fullmatch(entry[0], metric)), None)
    if path is None or found is None:
        return None
    _, needed, score = found
    arrays = read(path, NAMES)
    if not needed <= arrays.keys():
        return None
    try:
        scores = score(arrays, metric)
    except (ValueError, IndexError) as error:
        raise UserError(f"{path}: its arrays do not fit each other: {error}") from error
    _check(path, result, metric, scores)
    return scores


def read(path: Path, names: Sequence[str]) -> Arrays:
    """Return those of the named arrays that a file holds; UserError if it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in names if name in stored}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def _right(arrays: Arrays, metric: str) -> np.ndarray:
    """Return the share (N,) of draws in which each image is classified correctly."""
    predictions = np.atleast_2d(arrays.get("predictions", arrays["prediction"]))
    if predictions.shape[0] == 0:
        predictions = np.atleast_2d(arrays["prediction"])
    if predictions.shape[1:] != arrays["target"].shape:
        raise ValueError(f"predictions of shape {predictions.shape} for {arrays['target'].shape[0]} targets")
    return (predictions == arrays["target"]).mean(axis=0)


def _right_by_class(arrays: Arrays, metric: str) -> np.ndarray:
    target = arrays["target"]
    classes, index, counts = np.unique(target, return_inverse=True, return_counts=True)
    return _right(arrays, metric) * len(target) / (len(classes) * counts[index])


def _captions_found(arrays: Arrays, metric: str) -> np.ndarray:
    return _within(arrays["image_to_text_ranks"], metric)


def _found_by_captions(arrays: Arrays, metric: str) -> np.ndarray:
    """Return the summed successes of each image's captions, scaled so that the mean over images is over captions."""
    images = np.atleast_2d(arrays["image_to_text_ranks"]).shape[1]
    found = _within(arrays["text_to_image_ranks"], metric)
    owners = arrays["caption_images"]
    if owners.shape != found.shape or (len(owners) and owners.max() >= images):
        raise ValueError(f"{len(owners)} owners of {len(found)} captions among {images} images")
    return np.bincount(owners, weights=found, minlength=images) * images / len(found)


def _within(ranks: np.ndarray, metric: str) -> np.ndarray:
    """Return the share of draws in which each query's rank, counted from 0, is below the k of the metric."""
    return (np.atleast_2d(ranks) < int(metric.rpartition("@")[2])).mean(axis=0)


def _excess(arrays: Arrays, metric: str) -> np.ndarray:
    return np.atleast_2d(arrays["excess_losses"]).mean(axis=0)


# Pattern of the metric, the arrays it needs, and the scores of single samples.
_RULES: tuple[tuple[str, set[str], Callable[[Arrays, str], np.ndarray]], ...] = (
    ("acc1", {"target", "prediction"}, _right),
    ("mean_per_class_recall", {"target", "prediction"}, _right_by_class),
    (r"text_retrieval_recall@\d+", {"image_to_text_ranks"}, _captions_found),
    (
        r"image_retrieval_recall@\d+",
        {"image_to_text_ranks", "text_to_image_ranks", "caption_images"},
        _found_by_captions,
    ),
    ("excess_loss", {"excess_losses"}, _excess),
)


def _check(path: Path, result: TaskResult, metric: str, scores: np.ndarray) -> None:
    reported = next((entry.value for entry in result.metrics if entry.name == metric), None)
    complete = len(scores) == result.n_test or metric == "excess_loss"
    if reported is None or not complete or abs(scores.mean() - reported) > 1e-4:
        raise UserError(
            f"{path} does not belong to the result beside it: it gives {metric} {scores.mean():.4f} on "
            f"{len(scores)} samples, the result says {reported} on {result.n_test}"
        )
