"""A model in the form of the release, as its training code leaves it, is imported: what its towers
give is what the release's own code gave for the same weights.
"""

import json
import types

import inputs
import numpy as np
import pytest
import test_released
import torch
import yaml

from kbench.experiment.load import imported
from kbench.models import library, released
from kbench.pretrain import model as pretrained
from kbench.towers import tokenizer

MODEL = {
    "_target_": "models.CLIP_WPSE_VITB16",
    "ln_eps": 1e-6,
    "transformer_null_token_emb": "sequel",
    "weight_act": {"_target_": "models.ScaledTanh", "alpha": 100.0},
    "config_logit_scale": {"activation": {"_target_": "models.LogitScaleIdentity"}},
}
GAUSSIAN = {"_target_": "losses.RFFFeaturesGaussian", "sigma": 0.7, "dim_out": 64}
IMQ = {"_target_": "losses.RFFFeaturesIMQ", "imq_c": 0.4, "dim_out": 1024}
COMMON = {"first_normalize": True, "parallel": "${distributed}", "eps": 1e-6}


def weighted(kernel):
    loss = {"_target_": "losses.CLIP_WPSE_Loss", "rff_trick": kernel | COMMON}
    return {"model": MODEL, "criterion": loss | {"comb_weights": [0.6, 0.4]}}


CONFIGURATIONS = {
    "wpse": weighted(GAUSSIAN),
    "imq": weighted(IMQ),
    "clip": {
        "model": {"_target_": "models.CLIP_VITB16", "ln_eps": 1e-6},
        "criterion": {"_target_": "losses.CLIPLoss", "eps": 1e-6},
    },
}
SCORED = {
    "wpse": ("wpse-gaussian", {"sigma": 0.7, "a1": 0.6, "a2": 0.4, "features": 64}),
    "imq": ("wpse-imq", {"c": 0.4, "a1": 0.6, "a2": 0.4, "features": 1024}),
    "clip": ("cosine", {}),
}


def write(kind, folder, **changes):
    """Write config.yaml and checkpoint_best.pt with weights that names alone decide."""
    data = {"dataset": {"name": "huggingface_dataset", "path": "pixparse/cc12m-wds"}}
    folder.mkdir()
    settings = {**CONFIGURATIONS[kind], **data, **changes}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    state = {}
    for name, parameter in test_released.ours(kind).model.named_parameters():
        theirs, turned = test_released.released_name(name)
        state[f"module.{theirs}"] = parameter.detach().T if turned else parameter.detach()
    args = types.SimpleNamespace(epochs=35)
    held = {"epoch": 35, "state_dict": state, "optimizer": {}, "best_acc1": 1.0, "args": args}
    torch.save(held, folder / "checkpoint_best.pt")


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """The release builds one size only; its recorded numbers are those of a smaller trunk."""
    sizes = released.Architecture(inputs.TRUNK, inputs.HEADS)
    for name in released.MODELS:
        monkeypatch.setitem(released.MODELS, name, sizes)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def numbers():
    return json.loads((test_released.FOLDER / "released.json").read_text())


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_points_and_weights_are_the_releases(kbench, numbers, kind, tmp_path):
    write(kind, tmp_path / "zenodo")
    done = kbench("model", "import", "zenodo", "--as", "theirs", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = imported("theirs")
    name, settings = SCORED[kind]
    assert config.similarity == name and settings.items() <= config.similarity_settings.items()
    assert config.imported.data == ("pixparse/cc12m-wds",)
    model = pretrained.load(config, library.MODELS / "theirs" / "model.safetensors")
    images, texts = inputs.batch(0)
    tokens = torch.from_numpy(tokenizer.create(config.towers)(texts))
    with torch.no_grad():
        seen = model.normalise(torch.from_numpy(images))
        sets = {
            "image": model.similarity.embed(model.towers.encode_image(seen), "image"),
            "text": model.similarity.embed(model.towers.encode_text(tokens), "text"),
        }
    for side, one in sets.items():
        points = inputs.some(one.points.numpy())
        np.testing.assert_allclose(points, numbers[kind][f"{side}_embed"], atol=3e-6)
        if kind != "clip":
            weights = inputs.some(one.weights.numpy())
            np.testing.assert_allclose(weights, numbers[kind][f"{side}_weight"], atol=3e-6)


@pytest.mark.parametrize(
    ("kind", "scored_by"), [("clip", None), ("clip", "kernel-pooled"), ("wpse", None)]
)
def test_the_multiplier_keeps_its_value_in_whatever_form_it_is_learned(
    kbench, kind, scored_by, tmp_path
):
    """The release's CLIP learns a logarithm, its WPSE the number; both begin at 1 / 0.07."""
    write(kind, tmp_path / "zenodo")
    more = ("--similarity", scored_by) if scored_by else ()
    done = kbench("model", "import", "zenodo", "--as", "theirs", *more, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = imported("theirs")
    model = pretrained.load(config, library.MODELS / "theirs" / "model.safetensors")
    assert model.similarity.logit_scale().item() == pytest.approx(1 / 0.07, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": {"_target_": "models.CLIP_VITL14"}}, "did you mean 'models.CLIP_VITB16'"),
        ({"model": {**MODEL, "transformer_null_token_emb": "same"}}, "unknown padding"),
        ({"model": {**MODEL, "weight_act": {"_target_": "x"}}}, "weight_act = {'_target_': 'x'}"),
        ({"criterion": {"_target_": "losses.Other"}}, "unknown criterion of the release"),
        (weighted({"_target_": "losses.RFFFeaturesLaplace"}), "unknown kernel of the release"),
    ],
)
def test_what_the_release_does_not_build_is_refused(kbench, refused, changes, words, tmp_path):
    write("wpse", tmp_path / "zenodo", **changes)
    refused(kbench("model", "import", "zenodo", "--as", "theirs", cwd=tmp_path), words)
