"""CLIP_benchmark, unmodified, as it evaluates one of open_clip's models from the tar files; and
datasets of odd images and captions to do so on.
"""

import io
import json
import re
import tarfile
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from clip_benchmark.datasets.builder import build_dataset
from clip_benchmark.metrics import zeroshot_classification, zeroshot_retrieval
from PIL import Image

from kbench import files
from kbench.evaluate import store
from kbench.experiment.schema import Evaluation

BATCH = 256
RECALLS = [
    f"{retrieved}_retrieval_recall@{k}" for retrieved in ("image", "text") for k in (1, 5, 10)
]


@dataclass
class Peer:
    """One of open_clip's models, with its transform and tokenizer, as CLIP_benchmark takes them."""

    model: torch.nn.Module
    transform: object
    tokenizer: object

    def loader(self, name, root, task, split="test"):
        """Return CLIP_benchmark's loader as its command line makes it, of batches as large as
        kbench's.
        """
        wds = build_dataset(
            f"wds/{name}", root=str(root), split=split, transform=self.transform, task=task
        )
        self.classes, self.templates = wds.classes, wds.templates
        return torch.utils.data.DataLoader(wds.batched(BATCH), batch_size=None)

    def recalls(self, name, root):
        loader = self.loader(name, root, "zeroshot_retrieval")
        return zeroshot_retrieval.evaluate(
            self.model, loader, self.tokenizer, "cpu", amp=False, recall_k_list=[1, 5, 10]
        )

    def predictions(self, name, root):
        loader = self.loader(name, root, "zeroshot_classification")
        classifier = zeroshot_classification.zero_shot_classifier(
            self.model, self.tokenizer, self.classes, self.templates, "cpu", amp=False
        )
        logits, targets = zeroshot_classification.run_classification(
            self.model, classifier, loader, "cpu", amp=False
        )
        return logits.argmax(dim=1).numpy(), targets.numpy()


ENTRIES = {
    "odd-images": "{kind: classification, folder: odd-images, n_classes: 10, main_metric: acc1",
    "odd-captions": "{kind: retrieval, folder: odd-captions, main_metric: image_retrieval_recall@5",
    "odd-choices": "{kind: image_caption_selection, folder: odd-choices, main_metric: text_acc",
    "tinted": "{kind: classification, folder: tinted, n_classes: 5, main_metric: acc1",
    "odd-labels": (
        "{kind: multi_label, folder: odd-labels, n_classes: 7, main_metric: mean_average_precision"
    ),
    "cifar10-zeroshot": "{kind: classification, folder: cifar10, n_classes: 10, main_metric: acc1",
    "flickr8k-photographs": (
        "{kind: retrieval, folder: flickr8k_1k, main_metric: image_retrieval_recall@5"
    ),
}
"""Datasets that these tests add, all but one without a train split: a probe would take minutes."""


def add(name, folder):
    """Add a dataset to those that kbench knows in a working folder."""
    (folder / "workflow" / "datasets").mkdir(parents=True, exist_ok=True)
    train = "train" if name == "tinted" else "null"
    entry = f"{ENTRIES[name]}, location: data, source: here, train_split: {train}"
    entry += ", stand_in: world-shape}"
    (folder / "workflow" / "datasets" / f"{name}.yaml").write_text(entry)


def evaluated(kbench, run, data, name, folder):
    """Run `kbench features` and `kbench evaluate` on one dataset; returns what they printed
    last.
    """
    add(name, folder)
    section = Evaluation(datasets=(name,), batch_size=BATCH).model_dump(mode="json")
    evaluation = folder / "evaluation.json"
    evaluation.write_text(json.dumps({"experiment": "whole path", "evaluation": section}))
    arguments = ("--run", run.folder, "--evaluation", evaluation)
    for command, more in (("features", ("--data", data, "--device", "cpu")), ("evaluate", ())):
        process = kbench(command, *arguments, *more, cwd=folder)
        assert process.returncode == 0, process.stderr
    return process.stdout


def check_recalls(kbench, run, peer, root, name, folder):
    printed = evaluated(kbench, run, root.parent, name, folder)
    written = files.read_json(run.folder / "evaluation" / name / "retrieval.json")
    ours = {metric["name"]: metric["value"] for metric in written["metrics"]}
    theirs = peer.recalls(name, root)
    assert ours.keys() == theirs.keys() == set(RECALLS)
    assert ours == pytest.approx(theirs, abs=1e-6)
    shown = dict(re.findall(r"(\w+_retrieval_recall@\d+) ([\d.]+)", printed))
    assert shown == {metric: f"{value:.4f}" for metric, value in theirs.items()}
    assert len({round(value, 4) for value in theirs.values()}) > 2


def check_no_ties(run, name):
    """Equal captions or images would tie, and which of equal ones topk returns first is not
    defined.
    """
    reader = store.Reader(run.features(name))
    for side in ("images", "captions"):
        features = np.asarray(reader.array(f"test/{side}/features"))[:, 0]
        assert len(np.unique(features, axis=0)) == len(features)


def check_predictions(kbench, run, peer, root, name, folder):
    printed = evaluated(kbench, run, root.parent, name, folder)
    kept = np.load(run.folder / "evaluation" / name / "zeroshot.npz")
    predictions, targets = peer.predictions(name, root)
    assert np.array_equal(kept["target"], targets)
    assert (kept["prediction"] != predictions).sum() == 0
    assert f"acc1 {np.mean(predictions == targets):.4f}" in printed
    assert len(np.unique(predictions)) > 2


def member(archive, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


SIZES = [
    (500, 375),
    (333, 500),
    (40, 31),
    (33, 200),
    (31, 32),
    (32, 32),
    (7, 90),
    (90, 7),
    (1, 60),
    (225, 451),
]
MODES = ("RGB", "L", "RGBA", "P", "CMYK", "1", "LA")
LENGTHS = (1, 3, 8, 14, 29, 30, 31, 60, 200)
WORDS = [
    "a",
    "dog",
    "red",
    "runs",
    "over",
    "two",
    "big",
    "grass",
    "with",
    "blue",
    "boats",
    "near",
    "it",
    "!",
    "tall",
]


def picture(generator, index):
    """Return (file's suffix, its bytes) of a blurred random picture: its pixels tell where it was
    cut.
    """
    width, height = SIZES[index % len(SIZES)]
    coarse = generator.integers(0, 256, (1 + height // 6, 1 + width // 6, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    mode, stream = MODES[index % len(MODES)], io.BytesIO()
    image.convert(mode).save(stream, "JPEG" if mode == "CMYK" else "PNG")
    return "jpg" if mode == "CMYK" else "png", stream.getvalue()


def caption(generator, index, number):
    """Return a caption unlike any other: its own number comes first, where a context cut short
    keeps it.
    """
    words = generator.choice(WORDS, LENGTHS[(index + number) % len(LENGTHS)])
    return " ".join([f"{index} and {number}", *words])


def write_odd(data):
    """Two datasets of odd sizes and modes, the second with captions of every length, one of them
    empty.
    """
    generator = np.random.default_rng(2)
    for name in ("odd-images", "odd-captions"):
        (data / name / "test").mkdir(parents=True)
        (data / name / "test" / "nshards.txt").write_text("1")
        with tarfile.open(data / name / "test" / "0.tar", "w") as archive:
            for index in range(140):
                suffix, content = picture(generator, index)
                member(archive, f"s{index}.{suffix}", content)
                captions = [caption(generator, index, n) for n in range(1 + index % 5)]
                captions += ["", f"{index} after an empty line"] if index == 3 else []
                member(archive, f"s{index}.txt", "\n".join(captions).encode())
                member(archive, f"s{index}.cls", str(index % 10).encode())
    (data / "odd-captions" / "dataset_type.txt").write_text("retrieval")
    (data / "odd-images" / "classnames.txt").write_text("\n".join(WORDS[:10]))
    (data / "odd-images" / "zeroshot_classification_templates.txt").write_text(
        "a photo of a {c}.\nthe {c}"
    )
