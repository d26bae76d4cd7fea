"""Runs that are killed at any moment and started again end as if they never had been."""

import random
import signal
import time

import killed
import pytest
import torch
from safetensors.torch import load_file

from kbench import files
from kbench.experiment.load import read_run
from kbench.pretrain import metrics

KILLS = 10
EXACT = ("step", "loss", "learning_rate", "logit_scale", "gradient_norm", "skipped_steps")


@pytest.fixture
def new_run(tiny_experiment, tmp_path):
    """Make the folder of a run that is long enough to be killed ten times."""
    config = read_run(tiny_experiment[2][1] / "config.json")
    training = config.training.model_copy(update={"epochs": 6.0})
    config = config.model_copy(update={"training": training})

    def make(name):
        folder = tmp_path / name / config.run
        files.write_json(folder / "config.json", config.model_dump(mode="json"))
        return folder

    return make


def finish(run, world):
    process = killed.start(run, world)
    process.join(300)
    assert process.exitcode == 0


def outcome(run):
    """Return the weights and what the log says that does not depend on the clock."""
    log = [[entry[name] for name in EXACT] for entry in metrics.read(run / "metrics.jsonl")]
    return load_file(run / "model.safetensors"), log


@pytest.mark.whole
def test_killed_at_ten_moments_and_within_a_checkpoint(new_run, tiny_world):
    alone, run = new_run("alone"), new_run("killed")
    finish(alone, tiny_world)
    seconds = files.read_json(alone / "model.json")["seconds"]

    moments = random.Random(0)
    kills, steps = 0, set()
    # A busy machine may not reach the next checkpoint before a kill: then there are more kills, not
    # fewer checkpoints.
    while kills < KILLS or (len(steps) <= 3 and kills < 5 * KILLS):
        process = killed.start(run, tiny_world)
        time.sleep(moments.uniform(0, seconds / KILLS))
        process.kill()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL, (
            "ended before it was killed: this test needs a longer run"
        )
        kills += 1
        steps.update(path.name for path in (run / "checkpoints").glob("step-*.pt"))
    assert len(steps) > 3, "hardly a checkpoint was written between the kills"

    process = killed.start(run, tiny_world, torn=True)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert len(list((run / "checkpoints").glob(".*.part"))) == 1
    finish(run, tiny_world)
    assert not list((run / "checkpoints").glob(".*.part"))

    (ours, log), (theirs, expected) = outcome(run), outcome(alone)
    assert log == expected
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
