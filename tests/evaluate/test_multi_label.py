"""Images with several labels: from images and label vectors, through CLIP_benchmark's exporter, to
what `kbench evaluate` prints, against CLIP_benchmark on the same files.
"""

import io
import re
import tarfile

import numpy as np
import pytest
import tiny_models
import torch
from clip_benchmark.metrics import zeroshot_classification
from clip_benchmark.metrics.zeroshot_classification import average_precision_per_class
from clip_benchmark.webdataset_builder import convert_dataset
from clip_benchmark_peer import BATCH, WORDS, evaluated, member, picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kbench import files
from kbench.datasets import dataset as known_datasets
from kbench.datasets.reader import Split
from kbench.datasets.transform import Transform
from kbench.datasets.verify import verify
from kbench.errors import UserError
from kbench.locations import Locations
from kbench.tasks.multi_label_zeroshot import _average
from kbench.world.model import World
from kbench.world.scenes import ATTRIBUTES

IMAGES, CLASSES = 90, 7


class Shown(torch.utils.data.Dataset):
    """Odd images with label vectors, as CLIP_benchmark's voc2007_multilabel gives them: float32,
    one for each class that is shown; nothing shows the last class.
    """

    classes = WORDS[:CLASSES]
    templates = ("a photo of {c}", "{c}")

    def __init__(self):
        generator = np.random.default_rng(8)
        self.images = [picture(generator, index)[1] for index in range(IMAGES)]
        self.labels = torch.from_numpy(generator.integers(0, 2, (IMAGES, CLASSES))).float()
        self.labels[:, -1] = 0

    def __len__(self):
        return IMAGES

    def __getitem__(self, index):
        buffer = io.BytesIO()
        Image.open(io.BytesIO(self.images[index])).convert("RGB").save(buffer, "png")
        return buffer.getvalue(), self.labels[index]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    target = tmp_path_factory.mktemp("data") / "odd-labels"
    convert_dataset(
        Shown(),
        "test",
        str(target),
        image_format="png",
        max_count=40,
        multilabel=True,
        verbose=False,
    )
    return target


@pytest.mark.whole
@pytest.mark.parametrize("kind", ["vit", "siglip"])
def test_mean_average_precision_is_clip_benchmarks(kbench, kind, exported, tmp_path):
    model = tiny_models.write(kind, tmp_path / "open_clip" / kind)
    run, peer = tiny_models.taken(kbench, model, tmp_path), tiny_models.peer(model)
    loader = peer.loader("odd-labels", exported, "zeroshot_classification")
    theirs = zeroshot_classification.evaluate(
        peer.model, loader, peer.tokenizer, peer.classes, peer.templates, "cpu", amp=False
    )
    printed = evaluated(kbench, run, exported.parent, "odd-labels", tmp_path)
    place = run.folder / "evaluation" / "odd-labels"
    written = files.read_json(place / "multi_label_zeroshot.json")
    ours = {metric["name"]: metric["value"] for metric in written["metrics"]}
    assert ours == pytest.approx(theirs, abs=1e-6)
    shown = re.search(r"mean_average_precision ([\d.]+)", printed)[1]
    assert shown == f"{theirs['mean_average_precision']:.4f}"
    kept = np.load(place / "multi_label_zeroshot.npz")
    assert np.array_equal(kept["target"], Shown().labels.numpy())
    assert written["settings"]["classes_shown"] == CLASSES - 1 < written["settings"]["classes"]
    assert BATCH > IMAGES


@given(st.integers(2, 60), st.integers(1, 5), st.integers(0, 99))
def test_average_precision_is_clip_benchmarks_where_nothing_ties(number, classes, seed):
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, 2, (number, classes))
    scores = generator.permuted(
        np.tile(np.arange(number, dtype=np.float32), (classes, 1)), axis=1
    ).T
    theirs = average_precision_per_class(torch.from_numpy(scores), torch.from_numpy(targets))
    assert _average(targets, scores) == pytest.approx(theirs.mean().item(), abs=1e-6)


def test_images_of_one_score_share_a_rank_whatever_their_order():
    targets = np.array([[1], [0], [0], [1]])
    assert _average(targets, np.zeros((4, 1))) == _average(targets[::-1], np.zeros((4, 1))) == 0.5


def test_the_worlds_labels_are_what_its_images_show(tiny_world):
    dataset = known_datasets.get("world-attributes")
    root = dataset.root(Locations(world=tiny_world))
    assert not verify(dataset, root).problems
    split = Split(dataset, root, "test")
    list(split.samples())
    labels = np.array(split.labels.targets)
    assert labels.shape == (64, 19) and (labels.sum(axis=1) == len(ATTRIBUTES)).all()
    shapes = sum(not scene.is_digit for scene in World().scenes)
    names = (root / "classnames.txt").read_text().splitlines()
    assert (
        shapes == 336 and names[0] == "a circle" and names[-1] == "something on a cyan background"
    )


def array(values, dtype=np.float32):
    buffer = io.BytesIO()
    np.save(buffer, np.array(values, dtype))
    return buffer.getvalue()


HUGE = array([0.0] * 19).replace(b"(19,)", b"(9999999999999,)")
LABELS = {
    "none": (b"", "no .npy array"),
    "text": (b"0 1 0", "no .npy array"),
    "a header without numbers": (array([0.0] * 19)[:-8], "cut off"),
    "another number of classes": (array([0.0] * 20), r"are \(20,\) of type float32"),
    "a table": (array([[0.0] * 19]), r"are \(1, 19\)"),
    "neither 0 nor 1": (array([0.5] * 19), "not all 0 or 1"),
    "NaN": (array([np.nan] * 19), "not all 0 or 1"),
    "objects": (b"\x93NUMPY\x01\x00" + array([1], "O")[8:], r"are \(1,\) of type object"),
    "a size beyond any memory": (HUGE, "no .npy array|of type float32"),
}


@pytest.mark.parametrize("labels", LABELS)
def test_labels_that_are_none_are_refused_with_the_sample(tmp_path, labels):
    content, message = LABELS[labels]
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "nshards.txt").write_text("1")
    suffix, image = picture(np.random.default_rng(0), 0)
    with tarfile.open(tmp_path / "test" / "0.tar", "w") as archive:
        member(archive, f"s0.{suffix}", image)
        member(archive, "s0.npy", content)
    split = Split(known_datasets.get("world-attributes"), tmp_path, "test")
    with pytest.raises(UserError, match=f"split 'test', sample 's0': its labels .*({message})"):
        list(split.batches(8, Transform.whole(32)))


def test_a_set_of_other_labels_is_said(tiny_world):
    dataset = known_datasets.get("world-attributes")
    other = known_datasets.get("world-shape").root(Locations(world=tiny_world))
    assert any(
        "is absent, which means 'classification', not 'multilabel'" in problem
        for problem in verify(dataset, other).problems
    )
    way = known_datasets.get("voc2007_multilabel").instructions(tiny_world)
    assert "--dataset voc2007_multilabel --split test --multilabel" in way.replace("SPLIT", "test")
