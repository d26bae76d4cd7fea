"""From the tar files to what `kbench evaluate` writes, against CLIP_benchmark from the same files.

CLIP_benchmark is unmodified and reads with webdataset, open_clip's transform and open_clip's
tokenizer; its model is open_clip's own, with the weights of a run of the cosine variant.
"""

import io
import json
import os
import re
import tarfile
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from clip_benchmark.datasets.builder import build_dataset
from clip_benchmark.metrics import zeroshot_classification, zeroshot_retrieval
from open_clip.model import CustomTextCLIP
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transform import image_transform
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision import transforms

from kbench import files
from kbench.bench import evaluate as bench
from kbench.datasets import dataset as known_datasets
from kbench.evaluate import store
from kbench.evaluate.features import Encoder
from kbench.evaluate.run import TrainedRun
from kbench.experiment.schema import Evaluation
from kbench.locations import Locations
from kbench.pretrain import model as pretrained
from kbench.pretrain.model import IMAGENET_MEAN, IMAGENET_STD
from kbench.pretrain.test_column import TestColumn

BATCH = 256
RECALLS = [
    f"{retrieved}_retrieval_recall@{k}" for retrieved in ("image", "text") for k in (1, 5, 10)
]
SHARED = Path(__file__).parents[2] / "shared" / "data"
DATA = Path(os.environ.get("KBENCH_DATA") or SHARED)


def real(name):
    """Return the folder of the real data; the test is skipped where they are absent."""
    if not (DATA / name).is_dir():
        pytest.skip(f"{name} is neither in KBENCH_DATA nor in shared/data")
    return DATA / name


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the cosine variant with weights drawn so that its embeddings differ widely between
    inputs.
    """
    run = bench._run(None, tmp_path_factory.mktemp("run") / "run")
    weights = load_file(run.weights)
    generator = torch.Generator().manual_seed(1)
    for name, tensor in weights.items():
        if name.startswith("towers.") and tensor.ndim > 1 and tensor.is_floating_point():
            tensor += tensor.std() * torch.randn(tensor.shape, generator=generator)
    save_file(weights, run.folder / "model.safetensors")
    card = files.read_json(run.folder / "model.json")
    files.write_json(
        run.folder / "model.json",
        card | {"checkpoint_sha256": files.sha256(run.folder / "model.safetensors")},
    )
    return TrainedRun(run.folder)


class Peer:
    """open_clip's model, transform and tokenizer, as CLIP_benchmark takes them."""

    def __init__(self, run):
        towers = run.config.towers
        self.model = CustomTextCLIP(
            embed_dim=towers.embed_dim,
            vision_cfg=open_clip.CLIPVisionCfg(**towers.vision_cfg),
            text_cfg=open_clip.CLIPTextCfg(**towers.text_cfg),
        ).eval()
        weights = {
            k.removeprefix("towers."): v
            for k, v in load_file(run.weights).items()
            if k.startswith("towers.")
        }
        missing, unexpected = self.model.load_state_dict(weights, strict=False)
        assert missing == ["logit_scale"] and not unexpected
        self.transform = image_transform(
            towers.image_size, is_train=False, mean=IMAGENET_MEAN, std=IMAGENET_STD
        )
        self.tokenizer = SimpleTokenizer(context_length=towers.context_length)

    def loader(self, name, root, task):
        """Return CLIP_benchmark's loader as its command line makes it, of batches as large as
        kbench's.
        """
        wds = build_dataset(
            f"wds/{name}", root=str(root), split="test", transform=self.transform, task=task
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
    "cifar10-zeroshot": "{kind: classification, folder: cifar10, n_classes: 10, main_metric: acc1",
    "flickr8k-photographs": (
        "{kind: retrieval, folder: flickr8k_1k, main_metric: image_retrieval_recall@5"
    ),
}
"""Datasets that these tests add, all without a train split: a probe would take minutes."""


def add(name, folder):
    """Add a dataset to those that kbench knows in a working folder."""
    (folder / "workflow" / "datasets").mkdir(parents=True)
    entry = (
        ENTRIES[name] + ", location: data, source: here, train_split: null, stand_in: world-shape}"
    )
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


def check_recalls(kbench, run, root, name, folder):
    printed = evaluated(kbench, run, root.parent, name, folder)
    written = files.read_json(run.folder / "evaluation" / name / "retrieval.json")
    ours = {metric["name"]: metric["value"] for metric in written["metrics"]}
    theirs = Peer(run).recalls(name, root)
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


def check_predictions(kbench, run, root, name, folder):
    printed = evaluated(kbench, run, root.parent, name, folder)
    kept = np.load(run.folder / "evaluation" / name / "zeroshot.npz")
    predictions, targets = Peer(run).predictions(name, root)
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


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """Two datasets of odd sizes and modes, the second with captions of every length, one of them
    empty.
    """
    data = tmp_path_factory.mktemp("data")
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
    return data


def test_recalls_of_odd_images_and_captions_of_every_length_are_clip_benchmarks(
    kbench, run, synthetic, tmp_path
):
    check_recalls(kbench, run, synthetic / "odd-captions", "odd-captions", tmp_path)
    check_no_ties(run, "odd-captions")


def test_predictions_of_odd_images_are_clip_benchmarks(kbench, run, synthetic, tmp_path):
    check_predictions(kbench, run, synthetic / "odd-images", "odd-images", tmp_path)


def test_a_checkpoint_is_selected_by_clip_benchmarks_accuracy(
    run, synthetic, tmp_path, monkeypatch
):
    add("odd-images", tmp_path)
    monkeypatch.chdir(tmp_path)
    training = run.config.training.model_copy(update={"test_column": "odd-images"})
    config = run.config.model_copy(update={"training": training})
    found = TestColumn(config, Locations(data=synthetic)).accuracy(
        pretrained.load(config, run.weights), "cpu"
    )
    predictions, targets = Peer(run).predictions("odd-images", synthetic / "odd-images")
    assert found == pytest.approx(np.mean(predictions == targets), abs=1e-9) and 0 < found < 1


def test_the_released_probe_sees_the_pixels_of_torchvisions_resize_to_256_of_224(
    run, synthetic, tmp_path, monkeypatch
):
    add("odd-images", tmp_path)
    monkeypatch.chdir(tmp_path)
    dataset = known_datasets.get("odd-images").model_copy(update={"train_split": "test"})
    evaluation = Evaluation.model_validate(
        {"datasets": ["odd-images"], "linear_probe": {"released_resize": True}}
    )
    Encoder(run, evaluation, "cpu").extract(dataset, Locations(data=synthetic))
    kept = np.array(store.Reader(run.features("odd-images")).array("test/after_projection"))
    peer, size = Peer(run), run.config.towers.image_size
    norm = peer.transform.transforms[-2:]
    crop = transforms.CenterCrop(size)
    expected = []
    for resized in (37, size):  # round(32 * 256 / 224) is 37
        resize = transforms.Resize(resized, transforms.InterpolationMode.BICUBIC)
        peer.transform = transforms.Compose([resize, crop, *norm])
        images = torch.cat(
            [x for x, _ in peer.loader("odd-images", synthetic / "odd-images", "zeroshot")]
        )
        with torch.no_grad():
            embedded = torch.nn.functional.normalize(peer.model.encode_image(images), dim=-1)
        expected.append(embedded.numpy() * run.similarity.logit_scale().sqrt().item())
    np.testing.assert_allclose(kept, expected[0], rtol=1e-4, atol=1e-5)
    assert np.abs(kept - expected[1]).mean() > 0.01


@pytest.mark.slow
def test_recalls_of_photographs_are_clip_benchmarks(kbench, run, tmp_path):
    check_recalls(kbench, run, real("flickr8k_1k"), "flickr8k-photographs", tmp_path)


@pytest.mark.slow
def test_every_prediction_on_cifar_10_is_clip_benchmarks(kbench, run, tmp_path):
    check_predictions(kbench, run, real("cifar10"), "cifar10-zeroshot", tmp_path)
