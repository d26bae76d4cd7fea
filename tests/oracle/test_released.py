"""kbench against numbers that the released code of arXiv 2404.19228 gave when it was run; see make.py."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import inputs

import kbench.towers.compat  # isort: skip  # noqa: F401
import torch

from kbench.evaluate import logistic
from kbench.evaluate.samples import Features
from kbench.evaluate.splits import held_out
from kbench.experiment import recipe
from kbench.experiment.schema import LinearProbe, RunConfig
from kbench.pretrain.distributed import Processes
from kbench.pretrain.loop import Trainer
from kbench.pretrain.optimizer import learning_rate
from kbench.similarity.features import RandomFeatures
from kbench.towers import config, tokenizer

FOLDER = Path(__file__).parent
RECIPE = recipe.load()


@pytest.fixture(scope="module")
def released():
    document = json.loads((FOLDER / "released.json").read_text())
    assert document["commit"] == inputs.COMMIT, "made by another release: run make.py"
    lengths = (len(document["tokens"]), len(document["search"]), document["splits"].keys())
    asked = (len(inputs.captions()), inputs.CURVES, inputs.SPLIT_SIZES.keys() | {"caltech101"})
    assert lengths == asked, "the inputs have changed since: run make.py"
    return document


def ids(**changes):
    towers = config.load("wpse-vit-b-16", changes)
    return tokenizer.create(towers)(inputs.captions()).tolist()


def test_token_ids(released):
    """Of CLIP, whose padding shares the row of id 0, the ids are the rows."""
    assert ids(padding_embeddings="shared") == released["tokens"] == released["rows_none"]


def test_rows_of_the_embedding(released):
    """Padding is counted, an exclamation mark within a word with it."""
    assert ids() == released["rows_sequel"]
    assert any(row[3] >= 49408 > row[5] for row in released["rows_sequel"]), "an id 0 within a text is among them"


def test_captions_that_keep_their_end_are_another_matter(released):
    """It is what kbench does elsewhere, and what its list of differences would have to say here."""
    kept = ids(padding_embeddings="shared", long_captions="keep-end")
    differ = [ours != theirs for ours, theirs in zip(kept, released["tokens"], strict=True)]
    assert differ == [49407 not in theirs for theirs in released["tokens"]] and any(differ)


@pytest.mark.parametrize("seed", range(inputs.CURVES))
def test_the_search_goes_the_same_way(released, seed):
    scores, tried = inputs.curve(seed), []

    def judge(strengths):
        places = [int(np.argmin(np.abs(logistic.GRID - C))) for C in strengths]
        tried.extend(places)
        return [logistic.Tried(C, float(scores[place]), 1, True) for C, place in zip(strengths, places, strict=True)]

    best, _ = logistic.search(LinearProbe().strides, judge)
    theirs = released["search"][seed]
    assert tried == theirs["tried"]
    assert int(np.argmin(np.abs(logistic.GRID - best.C))) == theirs["chosen"]


def test_searches_at_both_edges_are_among_them(released):
    chosen = {entry["chosen"] for entry in released["search"]}
    assert {0, inputs.GRID - 1} <= chosen and len(chosen) > 50


@pytest.mark.parametrize("name", [*inputs.SPLIT_SIZES, "caltech101"])
def test_what_is_held_out(released, name):
    import make

    if name == "caltech101":
        labels, method = np.repeat(np.arange(102), 30), "stratified"
    else:
        labels, method = np.zeros(inputs.SPLIT_SIZES[name], dtype=np.int64), "random"
    _, held = held_out(Features(np.zeros((len(labels), 1), dtype=np.float32), labels), method)
    assert make.digest(held.index) == released["splits"][name]


def ours(kind):
    """Return kbench's trainer of a small model of the released architecture, with the weights that names decide."""
    towers = config.load("wpse-vit-b-16", {"padding_embeddings": "counted" if kind == "wpse" else "shared"})
    vision = {**towers.vision_cfg, "timm_model_name": inputs.TRUNK}
    text = {**towers.text_cfg, "width": inputs.WIDTH, "heads": inputs.HEADS, "layers": inputs.LAYERS}
    changes = {"embed_dim": inputs.EMBEDDING, "vision_cfg": vision, "text_cfg": text}
    similarity = {"wpse": "wpse-gaussian", "clip": "cosine"}[kind]
    pairs = inputs.BATCH * inputs.STEPS_OF_AN_EPOCH + 3  # three are left over in each epoch
    training = RECIPE.training | {"crop": None, "selection": "last", "test_column": None, "precision": "fp32"}
    training |= {"batch_size": inputs.BATCH, "epochs": inputs.EPOCHS, "warmup_epochs": 1}
    run = RunConfig(
        variant=similarity,
        similarity=similarity,
        similarity_settings={},
        objective=RECIPE.objective,
        seed=0,
        corpus={"kind": "world"},
        towers=towers.model_copy(update=changes),
        training=training,
    )
    trainer = Trainer(run, SimpleNamespace(pairs=pairs), "cpu", Processes())
    with torch.no_grad():
        for name, parameter in trainer.model.named_parameters():
            theirs, turned = released_name(name)
            if theirs == "logit_scale":
                continue
            shape = tuple(parameter.T.shape if turned else parameter.shape)
            drawn = torch.from_numpy(inputs.weights(theirs, shape))
            parameter.copy_(drawn.T if turned else drawn)
    return trainer


def released_name(name):
    """Return the release's name for a parameter of kbench's, and whether its matrix is turned."""
    turned = {
        "towers.visual.head.proj.weight": "image_projection",
        "similarity.sets.heads.image.weight": "image_weight_proj",
        "similarity.sets.heads.text.weight": "text_weight_proj",
    }
    if name in turned:
        return turned[name], True
    if name.startswith("similarity.scale."):
        return "logit_scale", False
    return name.replace("towers.visual.trunk.", "visual.").replace("towers.text.", ""), False


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wpse", "clip"])
class TestTraining:
    """One initial state, the same batches and random features: what the towers give, and the first steps."""

    def test_points_weights_and_embeddings(self, released, kind):
        trainer = ours(kind)
        images, texts = inputs.batch(0)
        model = trainer.model
        tokens = torch.from_numpy(tokenizer.create(trainer.config.towers)(texts))
        with torch.no_grad():
            sets = {
                "image": model.similarity.embed(
                    model.towers.encode_image(model.normalise(torch.from_numpy(images))), "image"
                ),
                "text": model.similarity.embed(model.towers.encode_text(tokens), "text"),
            }
        for side, found in sets.items():
            np.testing.assert_allclose(inputs.some(found.points.numpy()), released[kind][f"{side}_embed"], atol=3e-6)
            if kind == "wpse":
                given = released[kind][f"{side}_weight"]
                np.testing.assert_allclose(inputs.some(found.weights.numpy()), given, atol=3e-6)

    def test_losses_gradients_and_rates_of_the_first_steps(self, released, kind):
        trainer, theirs = ours(kind), released[kind]
        assert trainer.steps == len(theirs["rates"]) == inputs.EPOCHS * inputs.STEPS_OF_AN_EPOCH
        rates = [learning_rate(trainer.config.training, step, trainer.steps) for step in range(trainer.steps)]
        np.testing.assert_allclose(rates, theirs["rates"], rtol=1e-12)
        tokenize = tokenizer.create(trainer.config.towers)
        for step in range(inputs.STEPS):
            drawn = [torch.from_numpy(x) for x in inputs.frequencies(step)]
            trainer.model.draw = lambda generator, drawn=drawn: RandomFeatures(*drawn) if kind == "wpse" else None
            images, texts = inputs.batch(step)
            measured = trainer.step(torch.from_numpy(images), torch.from_numpy(tokenize(texts)))
            tolerance = 3e-5  # 1.5e-6 where the numbers were made
            assert float(measured["loss"]) == pytest.approx(theirs["losses"][step], rel=tolerance)
            assert float(measured["gradient_norm"]) == pytest.approx(theirs["gradient_norms"][step], rel=3 * tolerance)
        assert float(trainer.model.similarity.logit_scale()) == pytest.approx(theirs["logit_scale"], rel=1e-6)


def test_the_fixture_is_what_the_release_gives(tmp_path):
    if not os.environ.get("KBENCH_WPSE"):
        pytest.skip("KBENCH_WPSE names no checkout of the release")
    subprocess.run([sys.executable, FOLDER / "make.py", tmp_path / "again.json"], check=True, capture_output=True)
    again, kept = (json.loads(path.read_text()) for path in (tmp_path / "again.json", FOLDER / "released.json"))
    numbers = {"wpse", "clip", "versions"}
    assert {k: v for k, v in again.items() if k not in numbers} == {k: v for k, v in kept.items() if k not in numbers}
    for kind in ("wpse", "clip"):
        for name, values in kept[kind].items():
            np.testing.assert_allclose(again[kind][name], values, rtol=1e-3, atol=1e-5)


def test_another_checkout_is_refused(tmp_path):
    environment = {**os.environ, "KBENCH_WPSE": str(tmp_path)}
    command = [sys.executable, str(FOLDER / "make.py"), str(tmp_path / "x.json")]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode != 0 and "has to name a checkout" in process.stderr
    assert not (tmp_path / "x.json").exists()
