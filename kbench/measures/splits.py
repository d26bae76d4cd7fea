"""Holding out a tenth of the training samples where a dataset has no official validation split."""

from collections.abc import Callable

import numpy as np

from kbench.errors import UserError, unknown
from kbench.measures.labelled_features import Features

SHARE = 0.1
RANDOM_SEED = 314
STRATIFIED_SEED = 42
"""The seeds of the released code of arXiv 2404.19228; its functions are called with them, for
another generator with the same seed makes another split."""


def held_out(train: Features, method: str = "random") -> tuple[Features, Features]:
    """Return (the samples to fit on, a tenth to judge on); UserError for an unknown method.

    random: torch's random_split. stratified: scikit-learn's train_test_split of what that split
    yields, in its order, as the released code splits Caltech-101; UserError where a class has one
    sample only. proportional: kbench's own, for sets so small that classes may have one sample,
    every tenth of each class.
    """
    if method not in METHODS:
        raise unknown("method of holding out", method, METHODS)
    chosen = METHODS[method](train)
    # In their own order, so that a memory map is read from its beginning to its end.
    left = np.setdiff1d(np.arange(len(train)), chosen)
    return train.rows(left), train.rows(np.sort(chosen))


def _random_order(size: int) -> tuple[np.ndarray, np.ndarray]:
    import torch
    from torch.utils.data import random_split

    generator = torch.Generator().manual_seed(RANDOM_SEED)
    rest, tenth = random_split(range(size), [1 - SHARE, SHARE], generator=generator)
    return np.array(rest.indices, dtype=np.int64), np.array(tenth.indices, dtype=np.int64)


def _random(train: Features) -> np.ndarray:
    rest, tenth = _random_order(len(train))
    return tenth if len(tenth) else rest[:1]


def _stratified(train: Features) -> np.ndarray:
    from sklearn.model_selection import train_test_split

    order = np.concatenate(_random_order(len(train)))
    labels = train.labels[order]
    try:
        _, chosen = train_test_split(
            order, stratify=labels, test_size=SHARE, random_state=STRATIFIED_SEED
        )
    except ValueError as error:
        raise UserError(
            f"a tenth of {len(train)} samples cannot be held out stratified: {error}"
        ) from error
    return chosen


def _proportional(train: Features) -> np.ndarray:
    """It matters where classes are balanced: if the smaller part happens to be so exactly, even the
    smallest C classifies it well, wins the tie, and fails when refitted on the whole."""
    order = np.random.default_rng(STRATIFIED_SEED).permutation(len(train))
    order = order[np.argsort(train.labels[order], kind="stable")]
    return order[np.arange(len(order)) % 10 == min(5, len(order) - 1)]


METHODS: dict[str, Callable[[Features], np.ndarray]] = {
    "random": _random,
    "stratified": _stratified,
    "proportional": _proportional,
}
"""Functions from samples to the indices that are held out."""
