"""kbench against numbers that the released code of arXiv 2404.19228 gave when it was run; see
make.py.
"""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent))
import inputs

import kbench.towers.compat  # isort: skip  # noqa: F401
import torch

from kbench import objective, tasks
from kbench.datasets.dataset import Dataset
from kbench.evaluate import features
from kbench.evaluate.run import TrainedRun
from kbench.evaluate.store import Reader
from kbench.experiment import recipe
from kbench.experiment.schema import Evaluation, RunConfig
from kbench.locations import Locations
from kbench.measures import logistic
from kbench.measures.labelled_features import Features
from kbench.measures.settings import LinearProbeSettings
from kbench.measures.splits import held_out
from kbench.pretrain.model import save
from kbench.pretrain.optimizer import learning_rate
from kbench.pretrain.processes import Processes
from kbench.pretrain.trainer import Trainer
from kbench.records.documents import ModelCard
from kbench.similarity import create, kernels
from kbench.similarity.features import RandomFeatures
from kbench.similarity.scale import LogScale, PlainScale
from kbench.similarity.sets import PointSet
from kbench.towers import config, tokenizer
from kbench.world.shards import write_shards

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
    assert any(row[3] >= 49408 > row[5] for row in released["rows_sequel"]), (
        "an id 0 within a text is among them"
    )


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
        return [
            logistic.Tried(C, float(scores[place]), 1, True)
            for C, place in zip(strengths, places, strict=True)
        ]

    best, _ = logistic.search(LinearProbeSettings().strides, judge)
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


SIMILARITIES = {"wpse": "wpse-gaussian", "imq": "wpse-imq", "clip": "cosine"}
KINDS = tuple(SIMILARITIES)


def given(kind, step, dtype=torch.float32):
    """Return the random features of a step, or None for CLIP."""
    return (
        None
        if kind == "clip"
        else RandomFeatures(*(torch.from_numpy(x).to(dtype) for x in inputs.frequencies(step)))
    )


@pytest.mark.parametrize("kind", KINDS)
def test_scores_loss_and_gradients_of_given_sets(released, kind):
    """In double precision; a point of length 1e-7 is among them, below the release's epsilon."""
    theirs, leaves, sets = released["isolated"][kind], {}, {}
    for side in ("image", "text"):
        points, weights = (torch.from_numpy(x) for x in inputs.sets(side))
        points = (points[:, :1] if kind == "clip" else points).clone().requires_grad_()
        weights = (
            torch.ones(points.shape[:2], dtype=torch.float64)
            if kind == "clip"
            else weights.requires_grad_()
        )
        leaves |= {f"{side}_embed": points, f"{side}_weight": weights}
        sets[side] = PointSet(points, weights if kind == "clip" else weights[..., 0])
    similarity = create(SIMILARITIES[kind], {}, None).double()
    scores = similarity.scores(sets["image"], sets["text"], given(kind, 0, torch.float64))
    np.testing.assert_allclose(scores.detach().numpy(), theirs["scores"], rtol=1e-11, atol=1e-13)
    loss = objective.create("infonce")(14.285714 * scores)
    assert loss.item() == pytest.approx(theirs["loss"], rel=1e-12)
    loss.backward()
    for name, numbers in theirs["gradients"].items():
        flat = leaves[name].grad.reshape(-1)
        found = flat[:: max(1, flat.numel() // 48)].numpy()
        np.testing.assert_allclose(found, numbers, rtol=1e-9, atol=1e-12 * abs(flat).max().item())


@pytest.mark.parametrize(("kind", "scale"), [("log", LogScale), ("plain", PlainScale)])
def test_the_multiplier_stays_within_its_bounds(released, kind, scale):
    multiplier = scale()
    [parameter] = multiplier.parameters()
    for value, theirs in zip(inputs.OUT_OF_BOUNDS[kind], released["clamped"][kind], strict=True):
        parameter.data.fill_(value)
        multiplier.clamp_()
        assert multiplier().item() == pytest.approx(theirs, rel=1e-6)


def test_frequencies_of_the_inverse_multiquadric_kernel(released):
    """kbench draws from the law whose density the release puts into a table up to 100: 3.5e-4 apart
    at most.
    """
    dim, share = 512, (np.arange(20_000) + 0.5) / 20_000
    lengths = kernels.get("imq")(1.0).scales(torch.from_numpy(share)).numpy()
    law = [stats.chi.cdf(radius / lengths, dim).mean() for radius in inputs.RADII]
    apart = np.abs(np.array(law) - released["radial"])
    assert apart.max() < 4e-4 and released["radial"][0] < 0.01 < 0.99 < released["radial"][-1]


PAIRS = inputs.BATCH * inputs.STEPS_OF_AN_EPOCH + 3
"""Three are left over in each epoch."""


def model_config(kind):
    """Return the configuration of a small model of the released architecture."""
    towers = config.load(
        "wpse-vit-b-16", {"padding_embeddings": "shared" if kind == "clip" else "counted"}
    )
    vision = {**towers.vision_cfg, "timm_model_name": inputs.TRUNK}
    text = {
        **towers.text_cfg,
        "width": inputs.WIDTH,
        "heads": inputs.HEADS,
        "layers": inputs.LAYERS,
    }
    changes = {"embed_dim": inputs.EMBEDDING, "vision_cfg": vision, "text_cfg": text}
    similarity = SIMILARITIES[kind]
    training = RECIPE.training | {
        "crop": None,
        "selection": "last",
        "test_column": None,
        "precision": "fp32",
    }
    training |= {"batch_size": inputs.BATCH, "epochs": inputs.EPOCHS, "warmup_epochs": 1}
    return RunConfig(
        variant=similarity,
        similarity=similarity,
        similarity_settings={},
        objective=RECIPE.objective,
        seed=0,
        corpus={"kind": "world"},
        towers=towers.model_copy(update=changes),
        training=training,
    )


def ours(kind):
    """Return kbench's trainer of that model, with the weights that names decide."""
    trainer = Trainer(model_config(kind), SimpleNamespace(pairs=PAIRS), "cpu", Processes())
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
@pytest.mark.parametrize("kind", KINDS)
class TestTraining:
    """One initial state, the same batches and random features: what the towers give, and the first
    steps.
    """

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
            np.testing.assert_allclose(
                inputs.some(found.points.numpy()), released[kind][f"{side}_embed"], atol=3e-6
            )
            if kind != "clip":
                theirs = released[kind][f"{side}_weight"]
                np.testing.assert_allclose(inputs.some(found.weights.numpy()), theirs, atol=3e-6)

    def test_losses_gradients_and_rates_of_the_first_steps(self, released, kind):
        trainer, theirs = ours(kind), released[kind]
        assert trainer.steps == len(theirs["rates"]) == inputs.EPOCHS * inputs.STEPS_OF_AN_EPOCH
        rates = [
            learning_rate(trainer.config.training, step, trainer.steps)
            for step in range(trainer.steps)
        ]
        np.testing.assert_allclose(rates, theirs["rates"], rtol=1e-12)
        tokenize = tokenizer.create(trainer.config.towers)
        for step in range(inputs.STEPS):
            drawn = given(kind, step)
            trainer.model.draw = lambda generator, drawn=drawn: drawn
            images, texts = inputs.batch(step)
            measured = trainer.step(torch.from_numpy(images), torch.from_numpy(tokenize(texts)))
            tolerance = 3e-5  # 1.5e-6 where the numbers were made
            assert float(measured["loss"]) == pytest.approx(theirs["losses"][step], rel=tolerance)
            assert float(measured["gradient_norm"]) == pytest.approx(
                theirs["gradient_norms"][step], rel=3 * tolerance
            )
        assert trainer.model.similarity.logit_scale().item() == pytest.approx(
            theirs["logit_scale"], rel=1e-6
        )


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_zero_shot_scores_and_predictions(released, kind, tmp_path, monkeypatch):
    """From image files, class names and prompts in a dataset's folder to what `kbench zeroshot`
    keeps.
    """
    run, theirs = trained(kind, tmp_path / "run"), released["zeroshot"][kind]
    dataset = a_dataset(tmp_path / "data" / "some")
    monkeypatch.setattr(
        features, "_draws", lambda encoder, dataset: features.Draws([given(kind, 0)], None)
    )
    evaluation = Evaluation(
        datasets=("cifar10",), random_features={"number": inputs.FEATURES, "draws": 1}
    )
    features.Encoder(run, evaluation, "cpu").extract(dataset, Locations(data=tmp_path / "data"))
    outcome = tasks.get("zeroshot").score(
        run, Reader(run.features(dataset.name)), evaluation, device="cpu"
    )
    expected = np.array(theirs["scores"])
    np.testing.assert_allclose(
        outcome.arrays["scores"], expected, rtol=2e-5, atol=2e-5 * abs(expected).max()
    )
    assert outcome.arrays["prediction"].tolist() == theirs["predictions"]
    assert len(set(theirs["predictions"])) > 1


def trained(kind, folder):
    """Return the small model as a finished run."""
    model = ours(kind).model
    folder.mkdir()
    run = TrainedRun(folder)
    card = ModelCard.model_construct(checkpoint_sha256=save(model, folder / "model.safetensors"))
    vars(run).update(config=model_config(kind), card=card)
    return run


def a_dataset(folder):
    """Return a dataset of the images, class names and prompts, written in CLIP_benchmark's
    layout.
    """
    samples = ({"png": png(image), "cls": b"0"} for image in inputs.images())
    write_shards(folder / "test", samples, "{}.tar")
    (folder / "test" / "nshards.txt").write_text("1\n")
    (folder / "classnames.txt").write_text("\n".join(inputs.CLASS_NAMES) + "\n", encoding="utf-8")
    (folder / "zeroshot_classification_templates.txt").write_text("\n".join(inputs.PROMPTS) + "\n")
    return Dataset(
        name="some", kind="classification", location="data", folder="some", source="made up", train_split=None,
        n_classes=len(inputs.CLASS_NAMES), main_metric="acc1", stand_in="world-shape",
    )  # fmt: skip


def png(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "png")
    return stream.getvalue()


def test_the_fixture_is_what_the_release_gives(tmp_path):
    if not os.environ.get("KBENCH_WPSE"):
        pytest.skip("KBENCH_WPSE names no checkout of the release")
    subprocess.run(
        [sys.executable, FOLDER / "make.py", tmp_path / "again.json"],
        check=True,
        capture_output=True,
    )
    again, kept = (
        json.loads(path.read_text()) for path in (tmp_path / "again.json", FOLDER / "released.json")
    )
    numbers = {*KINDS, "isolated", "zeroshot", "clamped", "radial", "versions"}
    assert {k: v for k, v in again.items() if k not in numbers} == {
        k: v for k, v in kept.items() if k not in numbers
    }
    close(again, {name: kept[name] for name in numbers - {"versions"}})


def close(again, kept):
    """Assert that all numbers of a document are nearly those of another."""
    for name, values in kept.items():
        if isinstance(values, dict):
            close(again[name], values)
        else:
            np.testing.assert_allclose(again[name], values, rtol=1e-3, atol=1e-5)


def test_another_checkout_is_refused(tmp_path):
    environment = {**os.environ, "KBENCH_WPSE": str(tmp_path)}
    command = [sys.executable, str(FOLDER / "make.py"), str(tmp_path / "x.json")]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode != 0 and "has to name a checkout" in process.stderr
    assert not (tmp_path / "x.json").exists()
