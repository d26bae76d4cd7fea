"""Exact pointwise mutual information (PMI) of the embedded world, and the symmetric InfoNCE of any
score table.

Everything is numpy in float64: these are the reference values that learned scores are held against.
"""

from collections.abc import Iterator

import numpy as np

# The share of captions that belong to an unrelated scene. It keeps PMI finite: never below its
# logarithm.
MISMATCH = 0.03


def mismatched(q: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Return p(y | a) = 0.97 q(y | a) + 0.03 q(y), (S, C), from q (S, C) and the prior (S,).

    The marginal of p is that of q.
    """
    return (1 - MISMATCH) * q + MISMATCH * (prior @ q)


def pmi_table(p: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Return PMI(a, y) = log p(y | a) - log p(y) in nats, (S, C), from p(y | a) (S, C) and the
    prior p(a) (S,).
    """
    return np.log(p) - np.log(prior @ p)


def mutual_information(p: np.ndarray, prior: np.ndarray) -> float:
    """Return the mutual information of scene and caption in nats: the expectation of PMI over the
    joint.
    """
    return float(prior @ (p * pmi_table(p, prior)).sum(axis=1))


def symmetric_infonce(logits: np.ndarray) -> float:
    """Return the symmetric InfoNCE in nats of one batch's logits (B, B), row i and column i a pair.

    The mean of the cross entropies image-to-text (rows) and text-to-image (columns) with the
    diagonal as target, as in CLIP (Radford et al. 2021). An additive constant changes nothing.
    """
    rows = np.logaddexp.reduce(logits, axis=1)
    columns = np.logaddexp.reduce(logits, axis=0)
    return float(np.mean((rows + columns) / 2 - np.diagonal(logits)))


def infonce(
    scores: np.ndarray, scenes: np.ndarray, captions: np.ndarray, batch: int = 256
) -> float:
    """Return the mean symmetric InfoNCE in nats of a score table (S, C) over consecutive batches of
    pairs.

    scenes and captions (N,) are the indices of N pairs drawn from the joint; what does not fill a
    batch is left out. Raises ValueError if there is not one whole batch. Give every score table the
    same pairs: the batches' own variation then cancels in the difference.
    """
    losses = [symmetric_infonce(scores[np.ix_(a, y)]) for a, y in _batches(scenes, captions, batch)]
    if not losses:
        raise ValueError(f"{len(scenes)} pairs do not fill one batch of {batch}")
    return float(np.mean(losses))


def _batches(
    scenes: np.ndarray, captions: np.ndarray, batch: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(scenes) - batch + 1, batch):
        yield scenes[start : start + batch], captions[start : start + batch]
