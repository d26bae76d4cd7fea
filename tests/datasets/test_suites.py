"""Suites hold what CLIP_benchmark's collections hold, set by set with its prompts."""

import pytest

import kbench.towers.compat  # isort: skip  # noqa: F401
from clip_benchmark.datasets import builder

from kbench.datasets import dataset as known_datasets
from kbench.datasets import suites, texts
from kbench.errors import UserError
from kbench.experiment.schema import Evaluation

COLLECTIONS = {
    "vtab": "vtab",
    "vtab+": "vtab+",
    "retrieval": "retrieval",
    "imagenet-robustness": "imagenet_robustness",
}
OTHER_NAMES = {"imagenet1k": "imagenet1k-80-prompts", "sun397": "sun397-all-images"}


def here(theirs):
    """Return what kbench calls a dataset of CLIP_benchmark's."""
    return OTHER_NAMES.get(theirs, theirs.replace("/", "-"))


@pytest.mark.parametrize("suite", [*COLLECTIONS, "compositionality"])
def test_a_suite_is_the_collection(suite):
    theirs = builder.dataset_collection[COLLECTIONS.get(suite, "sugar_crepe")]
    expected = {here(name) for name in theirs}
    assert set(suites.known()[suite]["datasets"]) == expected


@pytest.mark.parametrize("suite", suites.known())
def test_every_set_of_a_suite_is_known_once_and_said(suite):
    about = suites.known()[suite]
    assert about.keys() - {"shifted_from"} == {"about", "datasets"}
    assert set(about.get("shifted_from", ())) <= set(known_datasets.names())
    assert len(set(about["datasets"])) == len(about["datasets"])
    assert all(known_datasets.get(name) for name in about["datasets"])


@pytest.mark.parametrize("suite", COLLECTIONS)
def test_sets_without_lists_of_their_own_are_prompted_as_clip_benchmark_does(suite, tmp_path):
    lists = texts._clip_benchmark("prompts")
    for name in suites.known()[suite]["datasets"]:
        dataset = known_datasets.get(name)
        if ":" in dataset.prompts:
            assert texts.templates(dataset, tmp_path) == lists[name.removesuffix("-80-prompts")]


def test_a_suite_stands_for_its_sets_in_its_place():
    asked = ["world-shape", "suite:retrieval", "cifar10"]
    flat = ("world-shape", "mscoco_captions", "flickr8k", "flickr30k", "cifar10")
    assert Evaluation(datasets=asked).datasets == flat
    shared = suites.expanded(["suite:vtab", "suite:vtab+"])
    assert len(shared) == len(set(shared)) and shared[:19] == suites.expanded(["suite:vtab"])


def test_an_unknown_suite_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'paper-13'"):
        suites.expanded(["suite:paper13"])
    with pytest.raises(ValueError, match="did you mean 'paper-13'"):
        Evaluation(datasets=["suite:paper13"])
