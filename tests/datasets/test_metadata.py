"""Metadata of the datasets: complete, consistent, and extended by one file."""

import pytest
import yaml

from kbench import tasks
from kbench.datasets import dataset as known_datasets
from kbench.datasets import texts
from kbench.datasets.dataset import Dataset
from kbench.errors import UserError
from kbench.locations import Locations

# The protocol: which metric each of the 13 datasets is reported by, and how many prompts a class
# has.
PUBLISHED = {
    "imagenet1k": ("acc1", 7),
    "cifar10": ("acc1", 18),
    "cifar100": ("acc1", 18),
    "stl10": ("acc1", 2),
    "food101": ("acc1", 1),
    "caltech101": ("mean_per_class_recall", 34),
    "cars": ("acc1", 8),
    "fgvc_aircraft": ("mean_per_class_recall", 2),
    "flowers": ("mean_per_class_recall", 1),
    "eurosat": ("acc1", 3),
    "dtd": ("acc1", 8),
    "pets": ("mean_per_class_recall", 1),
    "sun397": ("acc1", 2),
}
OFFICIAL_VALIDATION = {"flowers", "dtd", "fgvc_aircraft", "sun397"}
REAL = [name for name in known_datasets.names() if known_datasets.get(name).location == "data"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_datasets_follow_the_protocol(name, tmp_path):
    dataset, (metric, prompts) = known_datasets.get(name), PUBLISHED[name]
    assert dataset.main_metric == metric and tasks.of(dataset, None) == ("zeroshot", "linear_probe")
    assert (dataset.val_split is not None) == (name in OFFICIAL_VALIDATION)
    assert dataset.held_out == ("stratified" if name == "caltech101" else "random")
    assert len(texts.templates(dataset, tmp_path)) == prompts
    if dataset.class_order != "folder":
        assert len(texts.class_names(dataset, tmp_path)) == dataset.n_classes
    assert tasks.chance(dataset) == 1 / dataset.n_classes


def test_imagenet_has_both_prompt_sets(tmp_path):
    seven, eighty = known_datasets.get("imagenet1k"), known_datasets.get("imagenet1k-80-prompts")
    assert (len(texts.templates(seven, tmp_path)), len(texts.templates(eighty, tmp_path))) == (
        7,
        80,
    )
    assert texts.class_names(seven, tmp_path) == texts.class_names(eighty, tmp_path)
    assert seven.folder == eighty.folder and tasks.of(eighty, None) == ("zeroshot",)


@pytest.mark.parametrize("name", REAL)
def test_every_dataset_says_what_to_place_where(name, tmp_path):
    dataset = known_datasets.get(name)
    with pytest.raises(UserError) as refusal:
        dataset.root(Locations(data=tmp_path))
    message = str(refusal.value)
    assert str(tmp_path / dataset.folder) in message and dataset.source in message
    assert all(f"{split}/nshards.txt" in message for split in dataset.splits)
    assert ("kbench dataset fetch" in message) == (dataset.url is not None)
    assert dataset.stand_in in known_datasets.names()


def test_retrieval_sets_of_the_field():
    for name, images, captions in (("flickr30k", 1000, 5000), ("mscoco_captions", 5000, None)):
        dataset = known_datasets.get(name)
        assert (dataset.n_test, dataset.n_captions, tasks.of(dataset, None)) == (
            images,
            captions,
            ("retrieval",),
        )
    assert tasks.chance(known_datasets.get("flickr30k")) == 0.005


def test_one_file_adds_a_dataset(mine):
    dataset = known_datasets.get("mine")
    assert "mine" in known_datasets.names() and dataset.splits == {"train": 6, "test": 4}
    assert dataset.root(Locations(data=mine.parent)) == mine
    assert texts.class_names(dataset, mine) == ["even number", "odd_number"]


def test_a_folder_anywhere(mine, tmp_path):
    elsewhere = known_datasets.get("mine").model_copy(update={"folder": str(mine)})
    assert elsewhere.root(Locations()) == mine


def test_an_added_dataset_may_not_hide_one_of_kbenchs(mine, tmp_path):
    (tmp_path / "workflow" / "datasets" / "cifar10.yaml").write_text("{}")
    with pytest.raises(UserError, match="already has"):
        known_datasets.get("cifar10")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_tset": 4}, "n_tset: .*legal keys: .*n_test"),
        ({"n_classes": None}, "n_classes is for classification"),
        ({"n_test": 0}, "n_test: .*greater than 0"),
        ({"loader": "eurosat"}, "'eurosat' ignores the split"),
        ({"loader": "sun397"}, "'sun397' ignores the split"),
        ({"folder": "../outside"}, "leads out of the data folder"),
        ({"folder": "a/../../outside"}, "leads out of the data folder"),
        ({"test_split": "../../outside"}, "is no name of a folder"),
        ({"val_split": ".."}, "is no name of a folder"),
    ],
)
def test_bad_entries_are_refused(mine, tmp_path, change, message):
    path = tmp_path / "workflow" / "datasets" / "other.yaml"
    path.write_text(
        yaml.safe_dump(yaml.safe_load((path.parent / "mine.yaml").read_text()) | change)
    )
    with pytest.raises(UserError, match=message):
        known_datasets.get("other")


def test_a_main_metric_that_no_task_measures_is_refused_with_those_that_some_does(mine, tmp_path):
    path = tmp_path / "workflow" / "datasets" / "other.yaml"
    path.write_text(
        (path.parent / "mine.yaml").read_text().replace("main_metric: acc1", "main_metric: acc7")
    )
    with pytest.raises(
        UserError, match=r"unknown main_metric of dataset 'other' 'acc7'; did you mean 'acc"
    ):
        tasks.of(known_datasets.get("other"), None)


def test_an_entry_that_is_no_mapping(mine, tmp_path):
    (tmp_path / "workflow" / "datasets" / "other.yaml").write_text("- one\n- two\n")
    with pytest.raises(UserError, match="not a dataset description"):
        known_datasets.get("other")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_names": "clip_benchmark:imagenet"}, "did you mean 'imagenet1k'"),
        (
            {"class_names": "clip_benchmark:mnist", "n_classes": 10},
            "clip_benchmark:mnist: 2 names, not 10",
        ),
        ({"n_classes": 3}, "names 2 classes; 'mine' has 3"),
    ],
)
def test_class_names_that_do_not_fit(mine, change, message):
    dataset = Dataset(**(known_datasets.get("mine").model_dump() | change))
    with pytest.raises(UserError, match=message):
        texts.class_names(dataset, mine)


def test_a_stand_in_keeps_name_tasks_and_metric():
    for name in ("imagenet1k-80-prompts", "pets", "flickr30k"):
        dataset = known_datasets.get(name)
        stand_in = dataset.substitute()
        assert (stand_in.name, stand_in.main_metric) == (name, dataset.main_metric)
        assert tasks.of(stand_in, None) == tasks.of(dataset, None)
        assert stand_in.location == "world"


def test_the_list_shows_counts_and_presence(kbench, mine):
    process = kbench("datasets", "--data", mine.parent, "--details", cwd=mine.parents[1])
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    (line,) = (line for line in lines if line.startswith("mine "))
    assert "6 / - / 4" in line and f"train, test at {mine}" in line
    absent = lines.index(next(line for line in lines if line.startswith("cars ")))
    assert lines[absent].endswith("absent") and "Place there" in lines[absent + 2]
