"""Trainings that start from an imported model, whole or with a frozen tower."""

import csv
import functools
import io

import numpy as np
import pytest
import tiny_models
import torch
import yaml
from clip_benchmark_peer import picture
from PIL import Image
from safetensors.torch import load_file
from tiny import EXPERIMENT

from kbench import files
from kbench.corpus import manifest
from kbench.corpus.picture import hold
from kbench.errors import UserError
from kbench.experiment import differences, load
from kbench.identity.stages import Stages
from kbench.locations import Locations
from kbench.plan import freeze
from kbench.pretrain import frozen, loop, metrics
from kbench.pretrain.frozen import Remembered
from kbench.pretrain.images import cropper
from kbench.towers.output import TowerOutput

EXACT = ("step", "loss", "gradient_norm", "logit_scale")


@pytest.fixture(scope="module")
def folder(kbench, tmp_path_factory):
    """A working folder with an imported model."""
    path = tmp_path_factory.mktemp("start")
    model = tiny_models.write("vit", path / "open_clip")
    done = kbench("model", "import", model, "--as", "theirs", "--data", "world-shape", cwd=path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(loop, "LOG_EVERY", 8)
    return folder


def experiment(here, name="tiny", **changes):
    """Write an experiment that starts from the model, and return its path."""
    values = yaml.safe_load(EXPERIMENT)
    del values["towers"]
    values |= {"name": name, "start": {"model": "theirs", "frozen": ["image"]}} | changes
    path = here / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values))
    return str(path)


def planned(here, variant=0, epochs=3.0, **changes):
    """Return the configuration of one run."""
    config = load.resolve(load.load(experiment(here, **changes)))[variant]
    training = config.training.model_copy(update={"epochs": epochs})
    return config.model_copy(update={"training": training})


def trained(config, run, world):
    """Train a run and return its weights and what its log says that is not about time."""
    files.write_json(run / "config.json", config.model_dump(mode="json"))
    where = Locations(world=world)
    loop.pretrain(config, run, manifest.verify(config.corpus, where), where, "cpu", workers=0)
    log = [[entry[name] for name in EXACT] for entry in metrics.read(run / "metrics.jsonl")]
    return load_file(run / "model.safetensors"), log


def differ(first, second, prefix):
    """Return the tensors with a prefix that are not the same to the last bit."""
    names = [name for name in first if name.startswith(prefix)]
    assert names
    return {name for name in names if not torch.equal(first[name], second[name])}


@pytest.mark.whole
@pytest.mark.parametrize(
    "sides",
    [(), ("image",), ("text",), ("image", "text")],
    ids=lambda sides: "-".join(sides) or "none",
)
def test_what_is_frozen_stays_and_the_rest_is_trained(here, tiny_world, tmp_path, sides):
    config = planned(here, variant=1, start={"model": "theirs", "frozen": list(sides)})
    theirs = load_file(here / "models" / "theirs" / "model.safetensors")
    ours, _ = trained(config, tmp_path / config.run, tiny_world)
    for side, prefix in {"image": "towers.visual.", "text": "towers.text."}.items():
        assert bool(differ(theirs, ours, prefix)) == (side not in sides)
    assert not list((tmp_path / config.run / "frozen").glob("*"))


@pytest.mark.whole
@pytest.mark.parametrize("variant", [0, 1], ids=["pooled", "every token"])
def test_a_frozen_tower_sees_each_image_once_and_the_loss_is_the_same(
    here, tiny_world, tmp_path, monkeypatch, variant
):
    config, seen = planned(here, variant=variant), []
    compute = loop.Trainer.step

    def counted(self, images, tokens):
        if not seen:
            encode = self.model.towers.encode_image
            self.model.towers.encode_image = lambda x: seen.append(len(x)) or encode(x)
            seen.append(0)
        return compute(self, images, tokens)

    monkeypatch.setattr(loop.Trainer, "step", counted)
    once, log = trained(config, tmp_path / "once" / config.run, tiny_world)
    assert 512 <= sum(seen) <= 513  # and one more to learn how much a tower makes of an image
    monkeypatch.setattr(frozen, "MOST_BYTES", 0)
    seen.clear()
    again, expected = trained(config, tmp_path / "again" / config.run, tiny_world)
    assert sum(seen) >= 3 * 512
    torch.testing.assert_close(
        torch.tensor(log).double(), torch.tensor(expected).double(), rtol=1e-4, atol=1e-5
    )
    assert not differ(once, again, "towers.visual.")


@pytest.mark.whole
def test_a_run_that_is_cut_off_in_any_epoch_ends_as_if_it_had_not(
    here, tiny_world, tmp_path, monkeypatch
):
    config = planned(here, variant=1)
    expected, log = trained(config, tmp_path / "alone" / config.run, tiny_world)
    run, step, ends = tmp_path / "cut" / config.run, loop.Trainer.step, [5, 9, 20, 37]
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1)

    def cut(self, images, tokens):
        if ends and self.progress.step == ends[0]:
            ends.pop(0)
            raise KeyboardInterrupt
        return step(self, images, tokens)

    monkeypatch.setattr(loop.Trainer, "step", cut)
    while ends:
        with pytest.raises(KeyboardInterrupt):
            trained(config, run, tiny_world)
        with (run / "frozen" / "image-0").open("ab") as stream:
            stream.write(b"half a record")
    ours, ending = trained(config, run, tiny_world)
    assert not differ(expected, ours, "")
    assert ending[-1] == log[-1]


@pytest.mark.whole
def test_two_processes_train_from_a_model(kbench_alone, here, two_shards, tmp_path):
    config = planned(here, variant=1, start={"model": "theirs", "frozen": ["image", "text"]})
    run = tmp_path / "runs" / config.run
    files.write_json(run / "config.json", config.model_dump(mode="json"))
    corpus = manifest.verify(config.corpus, Locations(world=two_shards))
    files.write_json(tmp_path / "corpus.json", corpus.model_dump(mode="json"))
    done = kbench_alone(
        *("launch", "--processes", 2, "pretrain", "--run", run, "--world", two_shards),
        *("--manifest", tmp_path / "corpus.json", "--workers", 0),
        cwd=here,
    )
    assert done.returncode == 0, done.stderr
    theirs = load_file(here / "models" / "theirs" / "model.safetensors")
    assert not differ(theirs, load_file(run / "model.safetensors"), "towers.")
    assert not list((run / "frozen").glob("*"))


@pytest.mark.slow
def test_where_a_training_started_is_traced_and_reported(kbench, here, tiny_world, tmp_path):
    evaluation = {"datasets": ["world-shape"], "tasks": ["zeroshot"]}
    planned_for = load.load(experiment(here, "locked", evaluation=evaluation))
    results = tmp_path / "locked"
    freeze.freeze(planned_for, load.resolve(planned_for)[:1], [], results)
    (run,) = (results / "runs").iterdir()
    corpus = manifest.verify(planned_for.corpus, Locations(world=tiny_world))
    files.write_json(results / "corpus.json", corpus.model_dump(mode="json"))
    frozen_files = ("--run", run, "--evaluation", results / "evaluation.json")
    for words in (
        ("pretrain", "--run", run, "--manifest", results / "corpus.json", "--world", tiny_world),
        ("features", *frozen_files, "--world", tiny_world),
        ("evaluate", *frozen_files),
        ("compare", results),
        ("report", results),
    ):
        done = kbench(*words, cwd=here)
        assert done.returncode == 0, done.stderr
    traced = kbench("trace", run / "evaluation/world-shape/zeroshot.json", cwd=here).stdout
    (link,) = [line.split() for line in traced.splitlines() if "started from" in line]
    sha256 = files.sha256(here / "models/theirs/model.safetensors")
    assert link[2:5] == [sha256, "as", "recorded"] and link[-2:] == ["on", "world-shape"]
    page = (results / "report/index.html").read_text()
    assert f"<dt>started from</dt><dd>theirs, SHA-256 {sha256}</dd>" in page
    assert "cosine was trained on world-shape, as its authors declare" in page
    with (results / "table.csv").open(newline="") as stream:
        assert {row["corpus"] for row in csv.DictReader(stream)} == {"world after theirs"}


@pytest.mark.parametrize("kind", ["vit", "siglip", "hugging_face", "convnext"])
def test_images_are_seen_as_the_models_own_transform_makes_them(
    here, kbench, kind, tmp_path, monkeypatch
):
    their = tiny_models.write(kind, tmp_path / kind)
    assert kbench("model", "import", their, "--as", "other", cwd=tmp_path).returncode == 0
    config = planned(here)
    monkeypatch.chdir(tmp_path)
    config = config.model_copy(update={"towers": load.imported("other").towers})
    ours, transform = cropper(config, None), tiny_models.peer(their).transform
    mean, std = (
        torch.tensor(getattr(config.towers.preprocessing, name)).view(3, 1, 1) * 255
        for name in ("mean", "std")
    )
    generator = np.random.default_rng(4)
    for index in range(20):
        _, encoded = picture(generator, index)
        made = ours(hold(encoded, ours.size), generator)
        # As CLIP_benchmark's reader hands it over: RGB before anything is resized.
        seen = transform(Image.open(io.BytesIO(encoded)).convert("RGB"))
        torch.testing.assert_close(
            (torch.from_numpy(made.copy()) - mean) / std, seen, rtol=1e-5, atol=1e-5
        )


class TestRemembered:
    def test_an_input_is_computed_once_in_the_batch_in_which_it_came_first(self, tmp_path):
        calls = []

        def compute(inputs):
            calls.append(len(inputs))
            # What differs from batch to batch in the last bits, made visible.
            return TowerOutput(None, inputs.float() + len(calls), lambda pooled: pooled)

        def new(identity="one"):
            return Remembered(compute, tmp_path / "image-0", 10, tokens=False, identity=identity)

        first, second = torch.arange(6).view(3, 2), torch.arange(4, 8).view(2, 2)
        remembered = new()
        one = remembered(first).pooled
        two = remembered(second).pooled
        assert torch.equal(one[2], two[0]) and calls == [1, 3, 2]
        assert torch.equal(new()(second).pooled, two) and calls == [1, 3, 2, 1]
        assert not torch.equal(new("another")(second).pooled, two) and calls[-1] == 2

    def test_what_there_is_no_room_for_is_computed_every_time(self, tmp_path, monkeypatch):
        calls = []

        def compute(inputs):
            calls.append(len(inputs))
            return TowerOutput(None, inputs.float(), lambda pooled: pooled)

        monkeypatch.setattr(frozen, "MOST_BYTES", 2 * 4 * 3)  # three outputs of two numbers
        remembered = Remembered(compute, tmp_path / "x", 3, tokens=False, identity="x")
        inputs = torch.arange(10).view(5, 2)
        for _ in range(2):
            assert torch.equal(remembered(inputs).pooled, inputs.float())
        assert torch.equal(remembered(inputs[:3]).pooled, inputs[:3].float())
        assert calls == [1, 5, 5]

    def test_a_full_disk_is_named(self, tmp_path, monkeypatch):
        monkeypatch.setattr(frozen.os, "pwrite", lambda *arguments: 1)
        compute = functools.partial(TowerOutput, None, project=lambda pooled: pooled)
        remembered = Remembered(compute, tmp_path / "x", 3, tokens=False, identity="x")
        with pytest.raises(UserError, match="No space left"):
            remembered(torch.arange(4).view(2, 2).float())

    def test_what_was_damaged_is_computed_again(self, tmp_path):
        def compute(inputs):
            return TowerOutput(None, inputs.float(), lambda pooled: pooled)

        inputs = torch.arange(8).view(4, 2)
        path = tmp_path / "image-0"
        Remembered(compute, path, 10, tokens=False, identity="x")(inputs)
        damaged = bytearray(path.read_bytes())
        damaged[-1] ^= 1
        path.write_bytes(damaged)
        again = Remembered(compute, path, 10, tokens=False, identity="x")(inputs)
        assert torch.equal(again.pooled, inputs.float())


class TestRefused:
    def test_a_model_that_is_not_there(self, here, kbench, refused):
        path = experiment(here, start={"model": "thiers"})
        done = kbench("check", path, cwd=here)
        refused(done, "thiers", "theirs")

    def test_weights_that_were_replaced(self, here, tiny_world, tmp_path):
        config = planned(here)
        other = config.start.model_copy(update={"sha256": "0" * 64})
        with pytest.raises(UserError, match="not the model that"):
            trained(config.model_copy(update={"start": other}), tmp_path / config.run, tiny_world)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"towers": "demo"}, "`start` says which already"),
            (
                {"variants": [{"similarity": "cosine", "towers": {"embed_dim": 8}}]},
                "changes towers",
            ),
            ({"recipe": "arxiv-2404.19228"}, "claims the recipe"),
            ({"start": {"model": "theirs", "frozen": ["texts"]}}, "image"),
        ],
    )
    def test_what_does_not_fit(self, here, changes, words):
        with pytest.raises(UserError, match=words):
            load.load(experiment(here, **changes))


def test_the_start_is_part_of_a_runs_identity_and_its_name_is_not(here):
    config = planned(here)
    named = config.start.model_copy(update={"model": "other-name"})
    whole = config.start.model_copy(update={"frozen": ()})
    assert config.model_copy(update={"start": named}).hash == config.hash
    assert config.model_copy(update={"start": whole}).hash != config.hash
    assert config.model_copy(update={"start": None}).hash != config.hash


def test_evaluations_transform_is_code_of_a_training_that_starts_from_a_model(here):
    config = planned(here)
    drawn = config.model_copy(update={"start": None})
    codes = (Stages().training(each).modules for each in (config, drawn))
    assert ["kbench.datasets.transform" in code for code in codes] == [True, False]


def test_it_is_no_training_on_the_corpus_alone(here):
    assert planned(here).corpus_name == "world after theirs"


def test_a_start_is_said_to_differ_from_the_release(here):
    said = differences.of(load.load(experiment(here)))
    assert any(line.startswith("start: towers of the model theirs") for line in said)


def test_a_smoke_run_needs_no_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    smoke = load.load(experiment(tmp_path), smoke=True)
    config = load.resolve(smoke)[0]
    assert config.start.sha256 is None and config.start.frozen == ("image",)
    assert config.towers.name == "demo"
