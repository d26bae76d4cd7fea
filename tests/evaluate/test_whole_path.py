"""From the tar files to what `kbench evaluate` writes, against CLIP_benchmark from the same files.

CLIP_benchmark is unmodified and reads with webdataset, open_clip's transform and open_clip's
tokenizer; its model is open_clip's own, with the weights of a run of the cosine variant.
"""

import os
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from clip_benchmark_peer import (
    Peer,
    add,
    check_no_ties,
    check_predictions,
    check_recalls,
    write_odd,
)
from open_clip.model import CustomTextCLIP
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transform import image_transform
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
from kbench.pretrain.test_column import TestColumn
from kbench.towers.config import IMAGENET_MEAN, IMAGENET_STD

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


def peer_of(run):
    """Return open_clip's model with the weights of a run, its transform and its tokenizer."""
    towers = run.config.towers
    model = CustomTextCLIP(
        embed_dim=towers.embed_dim,
        vision_cfg=open_clip.CLIPVisionCfg(**towers.vision_cfg),
        text_cfg=open_clip.CLIPTextCfg(**towers.text_cfg),
    ).eval()
    weights = {
        k.removeprefix("towers."): v
        for k, v in load_file(run.weights).items()
        if k.startswith("towers.")
    }
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert missing == ["logit_scale"] and not unexpected
    transform = image_transform(
        towers.image_size, is_train=False, mean=IMAGENET_MEAN, std=IMAGENET_STD
    )
    tokenizer = SimpleTokenizer(context_length=towers.context_length)
    return Peer(model, transform, tokenizer)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """Two datasets of odd sizes and modes, the second with captions of every length."""
    data = tmp_path_factory.mktemp("data")
    write_odd(data)
    return data


def test_recalls_of_odd_images_and_captions_of_every_length_are_clip_benchmarks(
    kbench, run, synthetic, tmp_path
):
    check_recalls(kbench, run, peer_of(run), synthetic / "odd-captions", "odd-captions", tmp_path)
    check_no_ties(run, "odd-captions")


def test_predictions_of_odd_images_are_clip_benchmarks(kbench, run, synthetic, tmp_path):
    check_predictions(kbench, run, peer_of(run), synthetic / "odd-images", "odd-images", tmp_path)


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
    predictions, targets = peer_of(run).predictions("odd-images", synthetic / "odd-images")
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
    peer, size = peer_of(run), run.config.towers.image_size
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
    check_recalls(kbench, run, peer_of(run), real("flickr8k_1k"), "flickr8k-photographs", tmp_path)


@pytest.mark.slow
def test_every_prediction_on_cifar_10_is_clip_benchmarks(kbench, run, tmp_path):
    check_predictions(kbench, run, peer_of(run), real("cifar10"), "cifar10-zeroshot", tmp_path)
