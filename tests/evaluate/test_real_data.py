"""Real datasets, where KBENCH_DATA names a folder that holds them."""

import os
from pathlib import Path

import pytest
import torch
from clip_benchmark.datasets.builder import build_dataset

from kbench.benchmark import dataset as benchmark
from kbench.benchmark.reader import Split
from kbench.benchmark.texts import class_names, templates
from kbench.errors import UserError
from kbench.locations import Locations

REAL = [name for name in benchmark.names() if benchmark.get(name).location == "data"]


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_reading_agrees_with_clip_benchmark_and_the_metadata(name):
    if not os.environ.get("KBENCH_DATA"):
        pytest.skip("KBENCH_DATA is not set")
    dataset = benchmark.get(name)
    try:
        root = dataset.root(Locations(data=Path(os.environ["KBENCH_DATA"])))
    except UserError as error:
        pytest.skip(str(error).partition(". ")[0])
    split = Split(dataset, root, dataset.test_split)
    assert sum(len(batch) for batch in split.batches(500, 16)) == dataset.n_test
    task = "zeroshot_retrieval" if dataset.kind == "retrieval" else "zeroshot_classification"
    blank = lambda image: torch.zeros(1)  # noqa: E731
    peer = build_dataset(f"wds/{name}", root=str(root), split="test", transform=blank, task=task)
    seen = [label for _, label in peer]
    if dataset.kind == "classification":
        assert split.labels.targets == seen
        assert class_names(dataset, root) == peer.classes and templates(dataset, root) == peer.templates
        assert sorted(set(seen)) == list(range(dataset.n_classes))
    else:
        assert split.labels.captions == [caption for captions in seen for caption in captions]
