"""The linear probe of an imported model beside CLIP_benchmark's own, from the same tar files.

CLIP_benchmark's probe trains by AdamW for ten epochs from a random order that no seed fixes, and
refuses to run without CUDA; kbench's is the protocol of arXiv 2404.19228, solved to its optimum. So
what is equal is what both are fitted to, and what they then say is close.
"""

import json

import numpy as np
import pytest
import tiny_models
import torch
from clip_benchmark.metrics import linear_probe
from clip_benchmark_peer import SIZES, WORDS, evaluated, member, tarfile
from PIL import Image

from kbench import files
from kbench.evaluate import store

CLASSES = 5
IMAGES = {"train": 200, "test": 100}


def tinted(generator, index, label):
    """Return a PNG of odd size in which the class's colour shines through."""
    import io

    width, height = SIZES[index % len(SIZES)]
    colour = np.array([[220, 40, 40], [40, 220, 40], [40, 40, 220], [220, 220, 40], [40, 200, 220]])
    coarse = generator.integers(0, 256, (1 + height // 6, 1 + width // 6, 3))
    mixed = (0.65 * coarse + 0.35 * colour[label]).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(mixed).resize((width, height), Image.Resampling.BICUBIC).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder, generator = tmp_path_factory.mktemp("data") / "tinted", np.random.default_rng(4)
    for split, number in IMAGES.items():
        (folder / split).mkdir(parents=True)
        (folder / split / "nshards.txt").write_text("1")
        labels = generator.permutation(np.arange(number) % CLASSES)
        with tarfile.open(folder / split / "0.tar", "w") as archive:
            for index, label in enumerate(labels.tolist()):
                member(archive, f"s{index}.png", tinted(generator, index, label))
                member(archive, f"s{index}.cls", str(label).encode())
    (folder / "classnames.txt").write_text("\n".join(WORDS[:CLASSES]))
    (folder / "zeroshot_classification_templates.txt").write_text("the {c}")
    return folder


@pytest.fixture
def without_cuda(monkeypatch):
    """Have what asks for CUDA take the CPU, so that CLIP_benchmark's probe runs here; its own
    function of the accuracy fails with numpy 2.
    """
    monkeypatch.setattr(linear_probe, "accuracy", shares_among)
    to = torch.Tensor.to
    for kind in (torch.Tensor, torch.nn.Module):
        monkeypatch.setattr(kind, "cuda", lambda self: self)
    monkeypatch.setattr(
        torch.Tensor, "to", lambda self, *words, **more: to(self, *_on_the_cpu(words), **more)
    )


def shares_among(scores, targets, topk):
    best = scores.argsort(dim=1, descending=True)
    return [(best[:, :k] == targets[:, None]).any(dim=1).double().mean().item() for k in topk]


def _on_the_cpu(words):
    return ["cpu" if isinstance(word, str) and word == "cuda" else word for word in words]


@pytest.mark.whole
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["vit", "siglip"])
def test_both_are_fitted_to_the_same_and_agree(kbench, kind, data, tmp_path, without_cuda):
    model = tiny_models.write(kind, tmp_path / "open_clip" / kind)
    run, peer = tiny_models.taken(kbench, model, tmp_path), tiny_models.peer(model)
    train, test = (
        peer.loader("tinted", data, "zeroshot_classification", split) for split in IMAGES
    )
    torch.manual_seed(0)
    theirs = linear_probe.evaluate(
        peer.model,
        train,
        test,
        fewshot_k=-1,
        batch_size=64,
        num_workers=0,
        lr=0.1,
        epochs=10,
        model_id="theirs",
        seed=0,
        feature_root=str(tmp_path / "cached"),
        device="cuda",
        amp=False,
    )
    printed = evaluated(kbench, run, data.parent, "tinted", tmp_path)
    ours = json.loads((run.folder / "evaluation/tinted/linear_probe.json").read_text())
    values = {metric["name"]: metric["value"] for metric in ours["metrics"]}
    features = store.Reader(run.features("tinted"))
    scale = run.similarity.logit_scale().item() ** 0.5
    for split in IMAGES:
        for what, name in (("features", "after_projection"), ("targets", "targets")):
            cached = torch.load(tmp_path / "cached" / "theirs" / f"{what}_{split}.pt").numpy()
            mine = np.asarray(features.array(f"{split}/{name}"))
            mine = mine / scale if what == "features" else mine
            np.testing.assert_allclose(mine, cached, atol=1e-6, rtol=0)
    assert f"acc1 {values['acc1']:.4f}" in printed
    assert theirs["lp_acc1"] > 0.5 and abs(values["acc1"] - theirs["lp_acc1"]) < 0.1
    assert files.read_json(run.folder / "evaluated.json")
