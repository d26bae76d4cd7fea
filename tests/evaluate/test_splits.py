"""What is held out of the training samples is what the released code holds out."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from kbench.errors import UserError
from kbench.measures.labelled_features import Features
from kbench.measures.splits import held_out


def samples(labels):
    labels = np.asarray(labels)
    return Features(np.arange(float(len(labels)))[:, None], labels)


@given(st.integers(2, 4000))
def test_at_random_it_is_torchs_split_whatever_the_length(size):
    fitted, held = held_out(samples(np.zeros(size, dtype=int)))
    generator = torch.Generator().manual_seed(314)
    theirs = torch.utils.data.random_split(torch.arange(size), [0.9, 0.1], generator=generator)
    if len(theirs[1]):
        assert held.index.tolist() == sorted(theirs[1].indices)
    assert sorted([*fitted.index, *held.index]) == list(range(size)) and len(held)


def test_stratified_it_is_scikit_learns_split_of_the_shuffled_samples():
    """Caltech-101 in the release: features of the random parts one after the other, then split
    again.
    """
    labels = np.repeat(np.arange(102), 30)
    generator = torch.Generator().manual_seed(314)
    parts = torch.utils.data.random_split(torch.arange(3060), [0.9, 0.1], generator=generator)
    order = np.concatenate([np.array(part.indices) for part in parts])
    x, y = order[:, None].astype(float), labels[order]
    theirs = train_test_split(x, y, stratify=y, test_size=0.1, random_state=42)
    fitted, held = held_out(samples(labels), "stratified")
    assert held.index.tolist() == sorted(theirs[1][:, 0].astype(int))
    assert fitted.index.tolist() == sorted(theirs[0][:, 0].astype(int))
    assert np.bincount(held.labels).tolist() == [3] * 102
    alone = train_test_split(np.arange(3060), stratify=labels, test_size=0.1, random_state=42)[1]
    assert set(alone) != set(held.index), "the order of the samples matters"


def test_a_class_of_one_sample_cannot_be_stratified():
    with pytest.raises(UserError, match="a tenth of 21 samples cannot be held out stratified"):
        held_out(samples([0] * 20 + [1]), "stratified")


def test_proportionally_it_keeps_the_shares_of_classes_of_any_size():
    labels = np.repeat([0, 1, 2], [508, 392, 100])
    fitted, held = held_out(samples(labels), "proportional")
    assert sorted(np.concatenate([fitted.index, held.index])) == list(range(1000))
    assert np.abs(np.bincount(held.labels) - np.array([50.8, 39.2, 10.0])).max() < 1
    assert [len(part) for part in held_out(samples([0, 1, 1]), "proportional")] == [2, 1]


def test_features_follow_their_labels():
    train = samples(np.arange(200) % 7)
    for part in held_out(train):
        (rows,) = part.chunks(1000)
        assert (rows == train.x[part.index]).all() and (part.labels == train.y[part.index]).all()


def test_an_unknown_method_is_refused():
    with pytest.raises(UserError, match="did you mean 'stratified'"):
        held_out(samples([0, 1]), "stratifed")
