"""Class names and prompts of the paper's 13 datasets: what is shipped, what peers have, what a
folder may say.
"""

import importlib.util
import json
import os
from pathlib import Path

import pytest

from kbench.datasets import dataset as known_datasets
from kbench.datasets import texts
from kbench.errors import UserError

CLASSES = {
    "imagenet1k": 1000, "cifar10": 10, "cifar100": 100, "stl10": 10, "food101": 101, "caltech101": 102, "cars": 196,
    "fgvc_aircraft": 100, "flowers": 102, "eurosat": 10, "dtd": 47, "pets": 37, "sun397": 397,
}  # fmt: skip
RELEASED_AS = {"imagenet1k": "imagenet", "fgvc_aircraft": "aircraft"}
RELEASE = os.environ.get("KBENCH_WPSE")


def folder(tmp_path, names):
    """Return a dataset's folder that lists these classes."""
    (tmp_path / "classnames.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return tmp_path


def shipped(name, tmp_path):
    """Return the published names, whatever orders the labels."""
    return texts.class_names(
        known_datasets.get(name).model_copy(update={"class_order": None}), tmp_path
    )


@pytest.mark.parametrize("name", CLASSES)
def test_names_and_prompts_come_with_kbench(name, tmp_path):
    dataset, names = known_datasets.get(name), shipped(name, tmp_path)
    assert dataset.class_names == dataset.prompts == f"{texts.RELEASE}:{name}"
    assert len(names) == CLASSES[name] == dataset.n_classes
    assert len(set(names)) == (998 if name == "imagenet1k" else len(names)), (
        "two of ImageNet's names stand twice"
    )
    assert not any("_" in text for text in names + texts.templates(dataset, tmp_path))


def clip_benchmark(file):
    root = Path(importlib.util.find_spec("clip_benchmark").origin).parent
    return json.loads((root / "datasets" / f"en_{file}.json").read_text())


@pytest.mark.parametrize("name", CLASSES)
def test_they_are_clip_benchmarks_where_that_has_its_own(name, tmp_path):
    names, prompts = (
        clip_benchmark("classnames"),
        clip_benchmark("zeroshot_classification_templates"),
    )
    own = {"imagenet1k", "caltech101", "flowers", "eurosat", "pets"}
    assert (name in names) == (name in own)
    if name in own:
        ours, theirs = (
            [texts._words(n) for n in found] for found in (shipped(name, tmp_path), names[name])
        )
        # Copies of pets order their classes differently.
        assert (sorted(ours) == sorted(theirs)) if name == "pets" else (ours == theirs)
    if name != "imagenet1k":  # whose seven are those of SLIP, open_clip's simple ones
        assert texts.templates(known_datasets.get(name), tmp_path) == prompts[name]


def test_imagenets_seven_prompts_are_open_clips_simple_ones(tmp_path):
    import kbench.towers.compat  # isort: skip  # noqa: F401
    from open_clip.zero_shot_metadata import SIMPLE_IMAGENET_TEMPLATES

    assert texts.templates(known_datasets.get("imagenet1k"), tmp_path) == [
        t("{c}") for t in SIMPLE_IMAGENET_TEMPLATES
    ]


@pytest.mark.skipif(not RELEASE, reason="KBENCH_WPSE does not name a checkout of the released code")
@pytest.mark.parametrize("name", CLASSES)
def test_they_are_the_released_ones(name, tmp_path):
    labels, templates = (
        json.loads((Path(RELEASE) / f"{file}.json").read_text()) for file in ("labels", "templates")
    )
    key = RELEASED_AS.get(name, name)
    assert shipped(name, tmp_path) == labels[key]
    prompts = [
        [t.replace("{c}", label) for t in texts.templates(known_datasets.get(name), tmp_path)]
        for label in labels[key]
    ]
    assert prompts == [[t.format(label) for t in templates[key]] for label in labels[key]]


@pytest.mark.parametrize(
    ("name", "written", "used"),
    [
        ("cifar100", "aquarium_fish", "aquarium fish"),
        ("food101", "apple_pie", "apple pie"),
        ("sun397", "apartment_building/outdoor", "apartment building outdoor"),
        ("pets", "American Bulldog", "american bulldog"),
        ("dtd", "polka dotted", "polka-dotted"),
        ("fgvc_aircraft", "F/A-18", "F-A-18"),
    ],
)
def test_an_exporters_spelling_is_noted_and_the_published_one_is_used(
    name, written, used, tmp_path
):
    names = shipped(name, tmp_path)
    used = (
        used if used in names else next(n for n in names if texts._words(n) == texts._words(used))
    )
    there = folder(tmp_path, [written if n == used else n for n in names])
    assert texts.class_names(known_datasets.get(name), there) == names
    note = texts.other_spelling(known_datasets.get(name), there)
    assert note is None if written == used else f"'{written}', not '{used}'" in note


def test_verify_says_that_one_underscore_differs(mine, command):
    entry = Path("workflow/datasets/mine.yaml")
    entry.write_text(
        entry.read_text().replace("class_order: alphabetical", "class_names: clip_benchmark:pcam")
    )
    names = texts.class_names(known_datasets.get("mine"), Path("nowhere"))
    (mine / "classnames.txt").write_text("\n".join(names))
    assert "spells" not in command("dataset", "verify", "mine", "--data", mine.parent).stdout
    (mine / "classnames.txt").write_text("\n".join([names[0].replace(" ", "_"), names[1]]))
    verified = command("dataset", "verify", "mine", "--data", mine.parent)
    assert verified.returncode == 0
    assert (
        "classnames.txt spells otherwise: 1 places, first class 0 is 'lymph_node', not 'lymph node'"
        in verified.stdout
    )
    assert texts.class_names(known_datasets.get("mine"), mine) == names


@pytest.mark.parametrize("name", ["cifar100", "food101", "imagenet1k", "eurosat"])
def test_another_order_is_refused(name, tmp_path):
    names = shipped(name, tmp_path)
    there = folder(tmp_path, [names[1], names[0], *names[2:]])
    with pytest.raises(
        UserError, match=f"differs from {texts.RELEASE}:{name}: 2 places, first class 0"
    ):
        texts.class_names(known_datasets.get(name), there)


def test_another_class_is_refused(tmp_path):
    names = shipped("cifar10", tmp_path)
    with pytest.raises(UserError, match="1 places, first class 9 is 'lorry', not 'truck'"):
        texts.class_names(known_datasets.get("cifar10"), folder(tmp_path, [*names[:9], "lorry"]))


def test_where_copies_differ_the_folder_orders_the_labels(tmp_path):
    """Pets that torchvision lists are in alphabetical order, those that the release lists begin
    with cats.
    """
    pets, names = known_datasets.get("pets"), shipped("pets", tmp_path)
    alphabetical = sorted(names, key=str.casefold)
    assert alphabetical != names
    assert (
        texts.class_names(pets, folder(tmp_path, [name.title() for name in alphabetical]))
        == alphabetical
    )
    with pytest.raises(UserError, match="differs from"):
        texts.class_names(pets, folder(tmp_path, [*alphabetical[:-1], alphabetical[0]]))
    (tmp_path / "classnames.txt").unlink()
    with pytest.raises(UserError, match=r"classnames.txt is absent: copies of 'pets' order"):
        texts.class_names(pets, tmp_path)
