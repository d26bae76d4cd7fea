"""Real datasets, where KBENCH_DATA names a folder that holds them."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_benchmark.datasets.builder import build_dataset
from sklearn.linear_model import LogisticRegression

from kbench.datasets import dataset as known_datasets
from kbench.datasets.reader import Split
from kbench.datasets.texts import class_names, templates
from kbench.datasets.transform import Transform
from kbench.errors import UserError
from kbench.locations import Locations
from kbench.measures import logistic
from kbench.measures.labelled_features import Features
from kbench.measures.settings import LinearProbeSettings
from kbench.measures.splits import held_out

REAL = [name for name in known_datasets.names() if known_datasets.get(name).location == "data"]


def root_of(dataset):
    if not os.environ.get("KBENCH_DATA"):
        pytest.skip("KBENCH_DATA is not set")
    try:
        return dataset.root(Locations(data=Path(os.environ["KBENCH_DATA"])))
    except UserError as error:
        pytest.skip(str(error).partition(". ")[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_reading_agrees_with_clip_benchmark_and_the_metadata(name):
    dataset = known_datasets.get(name)
    root = root_of(dataset)
    split = Split(dataset, root, dataset.test_split)
    assert sum(len(batch) for batch in split.batches(500, Transform.whole(16))) == dataset.n_test
    task = "zeroshot_retrieval" if dataset.kind == "retrieval" else "zeroshot_classification"
    blank = lambda image: torch.zeros(1)  # noqa: E731
    peer = build_dataset(f"wds/{name}", root=str(root), split="test", transform=blank, task=task)
    seen = [label for _, label in peer]
    if dataset.kind == "classification":
        assert split.labels.targets == seen
        assert (
            class_names(dataset, root) == peer.classes
            and templates(dataset, root) == peer.templates
        )
        assert sorted(set(seen)) == list(range(dataset.n_classes))
    else:
        assert split.labels.captions == [caption for captions in seen for caption in captions]


@pytest.mark.slow
def test_the_probe_chooses_the_c_of_scikit_learns_exact_solver():
    """On the pixels of CIFAR-10 at 4 x 4."""
    dataset = known_datasets.get("cifar10")
    root = root_of(dataset)
    splits = {}
    for name in (dataset.train_split, dataset.test_split):
        split = Split(dataset, root, name)
        images = np.concatenate(list(split.batches(500, Transform.whole(4)))).reshape(
            len(split.labels.targets), -1
        )
        splits[name] = Features(images / np.float32(64), np.array(split.labels.targets))
    train, test = splits.values()
    fitted, held = held_out(train, "stratified")
    x, y, held_x = (
        train.x[fitted.index].astype(float),
        fitted.labels,
        train.x[held.index].astype(float),
    )

    def exactly(strengths):
        fits = [
            LogisticRegression(C=C, solver="newton-cholesky", tol=1e-9).fit(x, y) for C in strengths
        ]
        return [
            logistic.Tried(C, fit.score(held_x, held.labels), 0, True)
            for C, fit in zip(strengths, fits, strict=True)
        ]

    best, _ = logistic.search(LinearProbeSettings().strides, exactly)
    result = logistic.probe(train, None, test, LinearProbeSettings(), "acc1", "stratified")
    exact = LogisticRegression(C=best.C, solver="newton-cholesky", tol=1e-9).fit(
        train.x.astype(float), train.labels
    )
    assert result.C == best.C and result.converged
    assert (exact.predict(test.x.astype(float)) != result.predictions).mean() <= 0.001
