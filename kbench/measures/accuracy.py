"""Classification metrics with a defined result in every corner."""

import numpy as np


def top_k(scores: np.ndarray, targets: np.ndarray, k: int) -> float | None:
    """Return the share of rows of scores (N, C) whose target is among the k best; None with fewer
    than k classes.

    A tie counts against the target: it must score higher than all but k - 1 others, so that
    constant scores are no better than chance.
    """
    if scores.shape[1] < k:
        return None
    own = scores[np.arange(len(targets)), targets][:, None]
    rivals = (scores >= own).sum(axis=1) - 1
    return float(np.mean(rivals < k))


def top1(predictions: np.ndarray, targets: np.ndarray) -> float:
    """Return top-1 accuracy as a fraction."""
    return float(np.mean(predictions == targets))


def mean_per_class_recall(predictions: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean over the classes that occur among the targets of the share predicted
    right.
    """
    right = predictions == targets
    return float(np.mean([right[targets == label].mean() for label in np.unique(targets)]))


def shares_right(predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the share (N,) of draws in which each sample is predicted right, of predictions (N,)
    or (draws, N).

    Their mean is top-1 accuracy, averaged over draws. Raises ValueError where the two do not fit.
    """
    by_draw = np.atleast_2d(predictions)
    if by_draw.shape[1:] != targets.shape:
        raise ValueError(f"predictions of shape {by_draw.shape} for {len(targets)} targets")
    right = by_draw == targets
    return right[0].astype(float) if len(right) == 1 else right.mean(axis=0)


def shares_right_by_class(predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the same, times N / (classes * samples of its class), so that the mean is mean
    per-class recall.
    """
    classes, index, counts = np.unique(targets, return_inverse=True, return_counts=True)
    return shares_right(predictions, targets) * len(targets) / (len(classes) * counts[index])
