"""Pretraining: the recipe, exact resumption, and what is refused."""

import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny import ROOT

from kbench import files
from kbench.cli import main
from kbench.corpus import manifest, stream
from kbench.errors import UserError
from kbench.evaluate import reuse
from kbench.experiment.load import read_run
from kbench.experiment.schema import Training
from kbench.files import differences
from kbench.locations import Locations
from kbench.objective.infonce import InfoNCE
from kbench.pretrain import loop, metrics, optimizer
from kbench.pretrain import model as pretrained
from kbench.pretrain.checkpoint import Checkpoints
from kbench.pretrain.model import ContrastiveModel
from kbench.records.documents import ModelCard

TRAINING = Training(batch_size=32, epochs=10, warmup_epochs=2)


def test_the_released_schedule_is_numpys_linspace_and_drops_part_batches():
    """Step counts: 50 and 35 epochs of 2,905,954 and 10,968,539 pairs, by four loaders of 512 that
    drop their rest.
    """
    for pairs, epochs, warmup, total in ((2_905_954, 50, 2, 70_900), (10_968_539, 35, 1, 187_425)):
        training = Training(
            batch_size=2048, epochs=epochs, warmup_epochs=warmup, schedule="released"
        )
        assert optimizer.steps(training, pairs) == total == epochs * (-(-pairs // 4) // 512)
        rising = np.linspace(1e-6, 5e-4, warmup * total // epochs)
        falling = np.cos(np.pi * np.arange(total - len(rising)) / (total - len(rising)))
        wanted = np.concatenate([rising, 1e-5 + 0.5 * (5e-4 - 1e-5) * (1 + falling)])
        looked_at = [*range(5), *range(len(rising) - 3, len(rising) + 3), total // 2, total - 1]
        ours = [optimizer.learning_rate(training, step, total) for step in looked_at]
        np.testing.assert_allclose(ours, wanted[looked_at], rtol=1e-12)


def test_the_continuous_schedule_warms_up_and_decays():
    rates = [optimizer.learning_rate(TRAINING, step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-6 + (5e-4 - 1e-6) / 200)
    assert rates[199] == pytest.approx(5e-4) and max(rates) <= 5e-4
    assert rates[600] == pytest.approx((5e-4 + 1e-5) / 2)
    assert rates[999] == pytest.approx(1e-5, rel=1e-3)
    assert all(a <= b for a, b in itertools.pairwise(rates[:200]))
    assert all(a >= b for a, b in itertools.pairwise(rates[200:]))


def test_only_matrices_decay(tiny_experiment):
    config = read_run(tiny_experiment[2][1] / "config.json")
    model = ContrastiveModel(config)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, plain = optimizer.create(model, config.training).param_groups
    assert decayed["weight_decay"] == 0.1 and plain["weight_decay"] == 0
    assert all(p.ndim >= 2 for p in decayed["params"])
    assert len(decayed["params"]) + len(plain["params"]) == len(names)
    shrunk = {names[id(p)] for p in decayed["params"]}
    assert "similarity.sets.heads.image.weight" in shrunk and "similarity.scale.value" not in shrunk
    assert not any("ln_" in name or "bias" in name for name in shrunk)


def test_the_optimiser_is_torchs():
    """Step by step to the last bit: with a step that is skipped, and its state taken over from a
    checkpoint of the other's.
    """

    def trained_by(kind, other):
        generator = torch.Generator().manual_seed(0)
        weights = torch.nn.Parameter(torch.randn(7, 5, generator=generator))
        options = {"lr": 0.01, "betas": (0.9, 0.98), "eps": 1e-6, "fused": True}
        optimiser = kind([{"params": [weights], "weight_decay": 0.1}], **options)
        for step in range(9):
            if step == 5:
                state, optimiser = optimiser.state_dict(), other([weights], **options)
                optimiser.load_state_dict(state)
            optimiser.zero_grad(set_to_none=True)
            assert weights.grad is None
            (weights * torch.randn(7, 5, generator=generator)).exp().sum().backward()
            optimiser.found_inf = torch.tensor(float(step == 3))
            optimiser.step()
            assert torch.is_grad_enabled()
        return weights, optimiser.state_dict()

    ours, state = trained_by(optimizer.AdamW, torch.optim.AdamW)
    theirs, expected = trained_by(torch.optim.AdamW, optimizer.AdamW)
    alone, _ = trained_by(torch.optim.AdamW, torch.optim.AdamW)
    assert torch.equal(ours, alone) and torch.equal(theirs, alone)
    assert state["param_groups"] == expected["param_groups"]
    assert state["state"][0]["step"] == 8  # one of nine was skipped
    for name, value in expected["state"][0].items():
        assert torch.equal(state["state"][0][name], value)


def test_a_run_leaves_a_complete_card(trained):
    for run in trained:
        card = run.card
        assert card.final_loss == metrics.read(run.folder / "metrics.jsonl")[-1]["loss"]
        assert card.steps == 16 and card.samples == 512
        assert card.checkpoint_sha256 == files.sha256(run.folder / "model.safetensors")
        assert card.parameters == sum(
            t.numel() for t in pretrained.load(run.config, run.weights).parameters()
        )
        assert 0 <= card.data_wait_fraction < 1 and card.peak_memory_bytes > 1e8


class Process:
    """`kbench pretrain` for 96 steps, in a folder of its own."""

    def __init__(self, folder, config, manifest, world):
        self.run, self.manifest, self.world = folder / config.run, manifest, world
        files.write_json(self.run / "config.json", config.model_dump(mode="json"))

    def start(self):
        options = [
            "--run",
            self.run,
            "--manifest",
            self.manifest,
            "--world",
            self.world,
            "--workers",
            1,
        ]
        command = [sys.executable, "-m", "kbench", "pretrain", *map(str, options)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def stop(self, number, delay):
        """Start, wait until training has begun and `delay` seconds more, send a signal; returns
        (status, stderr).
        """
        (self.run / "metrics.jsonl").unlink(missing_ok=True)
        process = self.start()
        while not (self.run / "metrics.jsonl").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(delay)
        process.send_signal(number)
        _, message = process.communicate(timeout=60)
        return process.returncode, message

    def finish(self):
        process = self.start()
        out, message = process.communicate(timeout=120)
        assert process.returncode == 0, message
        return out


@pytest.fixture(scope="module")
def process(tmp_path_factory, trained, tiny_experiment, tiny_world):
    """Make a process that trains the same run as every other it makes, in a new folder."""
    config = trained[1].config
    config = config.model_copy(
        update={"training": config.training.model_copy(update={"epochs": 6.0})}
    )
    manifest = tiny_experiment[1] / "corpus.json"
    return lambda: Process(tmp_path_factory.mktemp("process"), config, manifest, tiny_world)


@pytest.fixture(scope="module")
def undisturbed(process):
    """The folder of a run that was never interrupted."""
    alone = process()
    alone.finish()
    return alone.run


def assert_same(run, undisturbed):
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (run, undisturbed))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    logs = [metrics.read(folder / "metrics.jsonl") for folder in (run, undisturbed)]
    compared = [
        [(entry["step"], entry["loss"], entry["gradient_norm"]) for entry in log] for log in logs
    ]
    assert compared[0] == compared[1][-len(compared[0]) :]


@pytest.mark.whole
def test_the_loss_falls_below_chance(undisturbed):
    first, *_, last = metrics.read(undisturbed / "metrics.jsonl")
    assert last["loss"] < first["loss"] < math.log(32)


@pytest.mark.whole
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_run_told_to_stop_goes_on_as_if_it_never_had(process, undisturbed, number):
    stopped = process()
    status, message = stopped.stop(number, delay=0.5)
    assert status == 75 and "run again to go on" in message and "Traceback" not in message
    assert "going on from step" in stopped.finish()
    assert_same(stopped.run, undisturbed)


@pytest.mark.whole
def test_a_killed_run_starts_from_its_last_checkpoint(process, undisturbed):
    killed = process()
    killed.stop(signal.SIGTERM, delay=0.3)
    status, _ = killed.stop(signal.SIGKILL, delay=0.3)
    assert status == -signal.SIGKILL
    killed.finish()
    assert_same(killed.run, undisturbed)


def test_a_finished_run_is_left_alone(kbench, trained, tiny_experiment, tiny_world):
    run, results = trained[0].folder, tiny_experiment[1]
    before = (run / "model.safetensors").stat().st_mtime_ns
    process = kbench(
        "pretrain", "--run", run, "--manifest", results / "corpus.json", "--world", tiny_world
    )
    assert process.returncode == 0 and "finished already" in process.stdout
    assert (run / "model.safetensors").stat().st_mtime_ns == before


class TestRefusals:
    @pytest.fixture
    def run(self, tmp_path, trained, tiny_experiment):
        """An unfinished copy of a run."""
        folder = tmp_path / trained[0].folder.name
        folder.mkdir()
        shutil.copy(trained[0].folder / "config.json", folder)
        shutil.copy(tiny_experiment[1] / "corpus.json", tmp_path)
        return folder

    def pretrain(self, kbench, run, world):
        return kbench(
            "pretrain", "--run", run, "--manifest", run.parent / "corpus.json", "--world", world
        )

    def test_corrupt_checkpoint(self, kbench, refused, run, tiny_world):
        path = run / "checkpoints" / "step-000000004.pt"
        path.parent.mkdir()
        path.write_bytes(b"half a checkpoint")
        refused(self.pretrain(kbench, run, tiny_world), "step-000000004.pt is corrupt", "delete it")
        assert path.exists()

    def test_checkpoint_of_another_configuration(self, kbench, refused, run, tiny_world):
        config = json.loads((run / "config.json").read_text())
        Checkpoints(
            run, config | {"seed": 7, "training": config["training"] | {"epochs": 9.0}}
        ).save(4, {"model": {}})
        refused(
            self.pretrain(kbench, run, tiny_world),
            "another configuration",
            "seed 7 instead of 0",
            "training.epochs",
        )

    def test_missing_world_and_manifest(self, kbench, refused, run, tmp_path, tiny_world):
        refused(self.pretrain(kbench, run, tmp_path / "nowhere"), "does not exist")
        (tmp_path / "corpus.json").unlink()
        refused(self.pretrain(kbench, run, tiny_world), "no such file", "corpus.json")

    def test_edited_configuration(self, kbench, refused, run, tiny_world):
        config = json.loads((run / "config.json").read_text())
        config["training"]["learning_rate"] = 1.0
        (run / "config.json").write_text(json.dumps(config))
        refused(self.pretrain(kbench, run, tiny_world), "edited or moved")

    def test_cuda_where_there_is_none(self, kbench, refused, run, tiny_world):
        if torch.cuda.is_available():
            pytest.skip("this machine has a CUDA device")
        options = (
            "--run",
            run,
            "--manifest",
            run.parent / "corpus.json",
            "--world",
            tiny_world,
            "--device",
            "cuda",
        )
        refused(kbench("pretrain", *options), "no CUDA device")

    def test_weights_that_are_not_the_cards(self, trained, tmp_path):
        folder = tmp_path / "run"
        shutil.copytree(trained[0].folder, folder)
        with (folder / "model.safetensors").open("ab") as stream:
            stream.write(b"x")
        with pytest.raises(UserError, match=r"differs from model\.json"):
            type(trained[0])(folder).weights  # noqa: B018

    def test_weights_of_another_architecture(self, trained):
        with pytest.raises(UserError, match="another architecture"):
            pretrained.load(trained[1].config, trained[0].weights)


def test_checkpoints_unpickle_no_objects(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    folder = tmp_path / "checkpoints"
    folder.mkdir()
    torch.save({"identity": "{}", "x": Harmful()}, folder / "step-000000001.pt")
    with pytest.raises(UserError, match="corrupt"):
        Checkpoints(tmp_path, {}).latest()
    assert not (tmp_path / "harm").exists()


def test_two_checkpoints_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, {"seed": 0})
    for step in (5, 10, 1000, 20000):
        checkpoints.save(step, {"step": step})
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == [
        "step-000001000.pt",
        "step-000020000.pt",
    ]
    assert checkpoints.latest()["step"] == 20000


def test_differences_name_keys_and_both_values():
    found = {"seed": 1, "training": {"betas": [0.9, 0.98], "epochs": 2.0}, "old": None}
    expected = {"seed": 1, "training": {"betas": [0.9, 0.99], "epochs": 2.0}, "new": 3}
    assert list(differences(found, expected)) == [
        'new "absent" instead of 3',
        'old null instead of "absent"',
        "training.betas [0.9, 0.98] instead of [0.9, 0.99]",
    ]


def test_a_half_written_log_line_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 50, "loss": 1.0}\n{"step": 100, "loss": 0.9}\n{"step": 150, "lo')
    metrics.MetricsLog(path, resumed_at=60)
    assert path.read_text() == '{"step": 50, "loss": 1.0}\n'


class TestTrouble:
    """Training in this process, so that it can be put to trouble; a checkpoint after every step."""

    @pytest.fixture(autouse=True)
    def often(self, monkeypatch):
        monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)

    @pytest.fixture
    def pretrain(self, tmp_path, tiny_experiment, tiny_world):
        """Run `kbench pretrain` on a run of 16 steps; returns (exit status, its folder)."""
        config = read_run(tiny_experiment[2][0] / "config.json")
        config = config.model_copy(
            update={"training": config.training.model_copy(update={"max_skipped_steps": 2})}
        )
        corpus = tmp_path / "corpus.json"
        found = manifest.verify(config.corpus, Locations(world=tiny_world))
        files.write_json(corpus, found.model_dump(mode="json"))
        options = (
            "--manifest",
            corpus,
            "--world",
            tiny_world,
            "--workers",
            0,
            "--device",
            "cpu",
        )

        def call(folder="runs"):
            run = tmp_path / "tiny" / folder / config.run
            files.write_json(run / "config.json", config.model_dump(mode="json"))
            with pytest.raises(SystemExit) as ended:
                main(["pretrain", "--run", str(run), *map(str, options)])
            return ended.value.code, run

        return call

    def test_steps_that_stay_infinite_end_the_run(self, pretrain, monkeypatch, capsys):
        calls, finite = [], InfoNCE.loss

        def loss(objective, logits):
            calls.append(1)
            # The third step alone is skipped; from the seventh on all are, and two may be.
            return finite(objective, logits) * (
                float("nan") if len(calls) == 3 or len(calls) >= 7 else 1
            )

        monkeypatch.setattr(InfoNCE, "loss", loss)
        status, run = pretrain()
        message = capsys.readouterr().err
        assert status == 1 and len(calls) == 9
        for word in (
            "3 steps in a row",
            "9 of 16",
            "loss nan",
            "gradient norm nan",
            "learning rate",
            "logit scale",
        ):
            assert word in message
        assert not (run / "model.json").exists()
        newest = max((run / "checkpoints").glob("step-*.pt"))
        assert newest.name == "step-000000006.pt"
        state = torch.load(newest)
        assert state["progress"]["skipped"] == 1
        assert all(tensor.isfinite().all() for tensor in state["model"].values())

    def test_that_a_trial_of_a_search_diverges_is_its_result(
        self, pretrain, monkeypatch, capsys, tiny_world, tmp_path
    ):
        monkeypatch.setattr(InfoNCE, "loss", lambda objective, logits: logits.sum() * float("nan"))
        status, run = pretrain("search")
        assert status == 0 and "3 steps in a row" in capsys.readouterr().out
        card = ModelCard.model_validate(files.read_json(run / "model.json"))
        assert "loss nan" in card.diverged and card.steps == 3
        assert card.held_out_loss is None and card.final_loss is None
        assert files.sha256(run / "model.safetensors") == card.checkpoint_sha256
        # Asked again, it is finished; and nobody takes it over for a run that is reported.
        assert pretrain("search")[0] == 0 and "finished already" in capsys.readouterr().out
        config = read_run(run / "config.json")
        corpus = manifest.verify(config.corpus, Locations(world=tiny_world))
        files.write_json(tmp_path / "tiny" / "corpus.json", corpus.model_dump(mode="json"))
        assert reuse.take(config, tmp_path / "another" / "run", corpus, [tmp_path]) is None
        assert "is not taken over: its training diverged" in capsys.readouterr().out

    def test_a_stop_does_not_wait_for_data(self, pretrain, monkeypatch, capsys):
        whole = stream.load

        def stuck(*arguments):
            yield from itertools.islice(whole(*arguments), 3)
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            time.sleep(60)

        monkeypatch.setattr(stream, "load", stuck)
        started = time.monotonic()
        status, run = pretrain()
        assert time.monotonic() - started < 30
        assert status == 75 and "SIGUSR1 at step 3" in capsys.readouterr().err
        assert (run / "checkpoints" / "step-000000003.pt").exists()


def test_the_log_is_there_for_tensorboard(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained[0].folder / "tensorboard"))
    events.Reload()
    (entry,) = metrics.read(trained[0].folder / "metrics.jsonl")
    assert set(events.Tags()["scalars"]) == entry.keys() - {"step"}
    (loss,) = events.Scalars("loss")
    assert loss.step == 16 and loss.value == pytest.approx(entry["loss"])
