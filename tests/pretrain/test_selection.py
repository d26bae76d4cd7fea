"""Held-out pairs: measured without touching training, and the rule that keeps the best epoch's
weights.
"""

import pytest
import torch

from kbench import files
from kbench.corpus.manifest import verify
from kbench.corpus.usable import usable_shards
from kbench.errors import UserError
from kbench.evaluate.run import TrainedRun
from kbench.experiment.load import read_run
from kbench.experiment.schema import Training
from kbench.locations import Locations
from kbench.pretrain import metrics
from kbench.pretrain import model as pretrained
from kbench.pretrain.held_out import HeldOut
from kbench.pretrain.loop import pretrain
from kbench.pretrain.test_column import TestColumn
from kbench.world.make import make
from kbench.world.manifest import WorldSettings


@pytest.fixture(scope="module")
def held_out_world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "world"
    make(folder, WorldSettings(seed=3, pairs=512, eval_images=64, held_out_pairs=100))
    return Locations(world=folder)


@pytest.fixture(scope="module")
def train(tiny_experiment, held_out_world, tmp_path_factory):
    """Train two and a half epochs of the tiny run with held-out pairs; returns (folder, card)."""

    def run(selection, held_out_pairs=100, test_column=None):
        config = read_run(tiny_experiment[2][1] / "config.json")
        training = config.training.model_copy(
            update={"selection": selection, "epochs": 2.5, "test_column": test_column}
        )
        corpus = config.corpus.model_copy(update={"held_out_pairs": held_out_pairs})
        config = config.model_copy(update={"training": training, "corpus": corpus})
        folder = tmp_path_factory.mktemp("run") / config.run
        files.write_json(folder / "config.json", config.model_dump(mode="json"))
        manifest = verify(corpus, held_out_world)
        pretrain(config, folder, manifest, held_out_world, "cpu", workers=0)
        return folder, TrainedRun(folder).card

    return run


def test_held_out_pairs_are_verified_and_not_trained_on(tiny_experiment, held_out_world):
    corpus = read_run(tiny_experiment[2][0] / "config.json").corpus
    without = verify(corpus, held_out_world)
    manifest = verify(corpus.model_copy(update={"held_out_pairs": 100}), held_out_world)
    assert (manifest.pairs, [shard.pairs for shard in manifest.held_out]) == (512, [100])
    assert without.shards == manifest.shards and without.held_out == []
    assert without.sha256 != manifest.sha256


@pytest.mark.whole
def test_measuring_changes_nothing_of_training(train):
    (plain, card), (measured, with_loss) = train("last", held_out_pairs=0), train("last")
    assert files.sha256(plain / "model.safetensors") == files.sha256(measured / "model.safetensors")
    assert card.held_out_loss is None and with_loss.held_out_loss > 0
    entries = [
        entry for entry in metrics.read(measured / "metrics.jsonl") if "held_out_loss" in entry
    ]
    assert [entry["step"] for entry in entries] == [40]


def test_the_epoch_of_the_lowest_loss_is_kept(train, monkeypatch):
    losses, seen = [3.5, 3.0, 4.0], []

    def loss(measure, model, device):
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return losses[len(seen) - 1]

    monkeypatch.setattr(HeldOut, "loss", loss)
    folder, card = train("held-out")
    entries = [
        entry for entry in metrics.read(folder / "metrics.jsonl") if "held_out_loss" in entry
    ]
    assert [(entry["step"], entry["held_out_loss"]) for entry in entries] == [
        (16, 3.5),
        (32, 3.0),
        (40, 4.0),
    ]
    assert (card.held_out_loss, card.selection, card.selected_step) == (3.0, "held-out", 32)
    kept = pretrained.read_weights(folder / "model.safetensors")
    assert all(torch.equal(kept[name], seen[1][name]) for name in kept)
    assert any(not torch.equal(kept[name], seen[2][name]) for name in kept)


def test_scoring_twice_is_the_same_and_leaves_the_mode_alone(train, held_out_world):
    folder, _ = train("last")
    config = read_run(folder / "config.json")
    found = verify(config.corpus, held_out_world).held_out
    measure = HeldOut(
        config, usable_shards(config.corpus, config.corpus.held_out(held_out_world), found)
    )
    model = pretrained.load(config, folder / "model.safetensors").train()
    torch.manual_seed(0)
    first = measure.loss(model, "cpu")
    torch.manual_seed(1)
    assert measure.loss(model, "cpu") == first and model.training


def test_a_rule_without_held_out_pairs_is_refused(train):
    with pytest.raises(UserError, match="'held-out' needs held-out pairs"):
        train("held-out", held_out_pairs=0)


def test_too_few_pairs_are_refused(tiny_experiment, held_out_world):
    config = read_run(tiny_experiment[2][0] / "config.json")
    with pytest.raises(UserError, match="0 held-out pairs in corpus 'world' make no batch of 32"):
        HeldOut(config, [])


def test_the_released_rule_looks_at_the_test_column_and_says_so(train, held_out_world):
    folder, card = train("test-column", test_column="world-shape")
    entries = [
        entry for entry in metrics.read(folder / "metrics.jsonl") if "test_column_acc1" in entry
    ]
    best = max(entries, key=lambda entry: entry["test_column_acc1"])
    assert (card.selection, card.selected_step) == ("test-column", best["step"])
    assert [entry["step"] for entry in entries] == [16, 32, 40]
    config = read_run(folder / "config.json")
    model = pretrained.load(config, folder / "model.safetensors")
    assert TestColumn(config, held_out_world).accuracy(model, "cpu") == best["test_column_acc1"]


def test_the_test_column_is_the_zero_shot_accuracy_of_the_evaluation(trained, tiny_world):
    """Of a variant without random features, whose draws differ between the two."""
    run = next(run for run in trained if run.config.variant == "cosine")
    training = run.config.training.model_copy(
        update={"selection": "test-column", "test_column": "world-shape"}
    )
    config = run.config.model_copy(update={"training": training})
    measured = TestColumn(config, Locations(world=tiny_world)).accuracy(
        pretrained.load(run.config, run.weights), "cpu"
    )
    result = files.read_json(run.folder / "evaluation" / "world-shape" / "zeroshot.json")
    assert measured == next(
        metric["value"] for metric in result["metrics"] if metric["name"] == "acc1"
    )


def test_a_test_column_has_to_be_a_classification(train):
    with pytest.raises(UserError, match="'world-retrieval' is no classification"):
        train("test-column", test_column="world-retrieval")


@pytest.mark.parametrize("values", [{"selection": "test-column"}, {"test_column": "cifar10"}])
def test_rule_and_column_go_together(values):
    with pytest.raises(ValueError, match="go together"):
        Training(batch_size=2, epochs=1, warmup_epochs=0, **values)
