"""Several processes: equal to one with the whole batch, started alike by torchrun and srun, and
never left hanging.
"""

import os
import signal
import socket
import subprocess
import sys
import time

import parts
import pytest
import torch
from tiny import ROOT

from kbench import files
from kbench.corpus import manifest, stream
from kbench.corpus.crop import Cropper
from kbench.errors import UserError
from kbench.experiment.load import read_run
from kbench.locations import Locations
from kbench.pretrain import metrics
from kbench.pretrain.place import FIRST_PORT, PORTS, Place, first_host, place
from kbench.pretrain.processes import Processes
from kbench.pretrain.trainer import Trainer
from kbench.towers import tokenizer

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "head",
    "MASTER_PORT": "29500",
}
SRUN = {
    "SLURM_PROCID": "3",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_LOCALID": "1",
    "SLURM_JOB_ID": "123456",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_JOB_NODELIST": "gpu[05-08]",
}


class TestPlace:
    def test_torchrun_and_srun_say_the_same(self):
        assert place(TORCHRUN) == Place(rank=3, size=4, local_rank=1, host="head", port=29500)
        port = FIRST_PORT + 123456 % PORTS
        assert place(SRUN) == Place(rank=3, size=4, local_rank=1, host="gpu07", port=port)

    def test_torchrun_inside_a_job_step_is_believed(self):
        assert place(SRUN | TORCHRUN).port == 29500

    def test_two_steps_of_a_job_do_not_meet(self):
        assert place(SRUN).port != place(SRUN | {"SLURM_STEP_ID": "1"}).port

    @pytest.mark.parametrize(
        "environment",
        [
            {},
            TORCHRUN | {"WORLD_SIZE": "1"},
            SRUN | {"SLURM_STEP_NUM_TASKS": "1"},
            # A batch script without srun.
            {
                "SLURM_PROCID": "0",
                "SLURM_NTASKS": "16",
                "SLURM_JOB_ID": "7",
            },
        ],
    )
    def test_one_process_on_its_own(self, environment):
        assert place(environment) is None

    @pytest.mark.parametrize("broken", [{"RANK": "x"}, {"MASTER_PORT": ""}])
    def test_broken_variables_are_named(self, broken):
        with pytest.raises(UserError, match="variable is wrong"):
            place(TORCHRUN | broken)

    @pytest.mark.parametrize(
        ("nodes", "first"),
        [
            ("node1", "node1"),
            ("node1,node2", "node1"),
            ("gpu[07-09,12],login", "gpu07"),
            ("rack[2,4]n[01-03]-ib,x", "rack2n01-ib"),
        ],
    )
    def test_first_host(self, nodes, first):
        assert first_host(nodes) == first


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def start_two(*command):
    """Start a Python program as two processes, with torchrun's variables."""
    common = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
        "WORLD_SIZE": "2",
    }
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=ROOT,
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes computed in every case."""
    output = tmp_path_factory.mktemp("two") / "found.pt"
    for process in start_two(ROOT / "tests/pretrain/parts.py", output):
        _, message = process.communicate(timeout=300)
        assert process.returncode == 0, message
    return torch.load(output)


@pytest.mark.whole
@pytest.mark.parametrize("case", parts.CASES)
def test_two_processes_do_what_one_does_with_the_whole_batch(two, case):
    settings = {"micro_batch_size": None} if "micro" in case else {}
    one = parts.train(parts.trainer(case, Processes(), **settings))
    assert one.keys() == two[case].keys()
    # Rows are dealt in turn, so gathered batches have another order: the objective must not care.
    for name, expected in one.items():
        if name == "similarity.background":
            expected, two[case][name] = (x.sort(0)[0] for x in (expected, two[case][name]))
        torch.testing.assert_close(
            two[case][name], expected, rtol=1e-9, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_a_batch_that_cannot_be_dealt_evenly_is_refused():
    three = Processes()
    three.size = 3
    assert three.share(9) == 3
    with pytest.raises(UserError, match="batch_size 8 cannot be dealt to 3 processes"):
        three.share(8)


class Job:
    """`kbench pretrain` by two processes, 96 steps, in a folder of its own.

    The learning rate is small, so that rounding does not grow from step to step and losses can be
    compared closely.
    """

    def __init__(self, folder, config, world):
        recipe = config.training.model_copy(update={"epochs": 6.0, "learning_rate": 1e-5})
        self.config = config.model_copy(update={"training": recipe})
        self.run, self.corpus, self.world = folder / self.config.run, folder / "corpus.json", world
        files.write_json(self.run / "config.json", self.config.model_dump(mode="json"))
        found = manifest.verify(config.corpus, Locations(world=world))
        files.write_json(self.corpus, found.model_dump(mode="json"))

    def start(self):
        options = (
            "--run",
            self.run,
            "--manifest",
            self.corpus,
            "--world",
            self.world,
            "--workers",
            1,
        )
        return start_two("-m", "kbench", "pretrain", *options)

    def signal(self, number):
        """Start, wait until training has begun, send the signal to the second process; returns both
        when they end.
        """
        (self.run / "metrics.jsonl").unlink(missing_ok=True)
        both = self.start()
        while not (self.run / "metrics.jsonl").exists() and both[0].poll() is None:
            time.sleep(0.01)
        time.sleep(0.5)
        both[1].send_signal(number)
        return [(process, process.communicate(timeout=60)[1]) for process in both]

    def losses_of_one_process(self):
        """Train by one process on the batches that the two have had between them; returns the loss
        of every step.
        """
        found = manifest.read(self.corpus)
        towers, batch_size = self.config.towers, self.config.training.batch_size // 2
        arguments = (
            self.config.corpus,
            Locations(world=self.world),
            found,
            tokenizer.create(towers),
        )
        cropper = Cropper(towers.image_size, self.config.training.crop)
        parts = [
            iter(stream.PairStream(*arguments, cropper, share))
            for share in (stream.Share(batch_size, self.config.seed, rank, 2) for rank in range(2))
        ]
        trainer = Trainer(self.config, found, "cpu", Processes())
        losses = []
        for _ in range(trainer.steps):
            images, tokens = (torch.cat(halves) for halves in zip(*map(next, parts), strict=True))
            losses.append(float(trainer.step(images, tokens)["loss"]))
        return losses


@pytest.mark.whole
def test_bad_input_ends_all_processes(tmp_path, tiny_experiment, tiny_world):
    job = Job(tmp_path, read_run(tiny_experiment[2][1] / "config.json"), tiny_world)
    for process in job.start():
        _, message = process.communicate(timeout=60)
        assert process.returncode == 2, message
        assert (
            "kbench: corpus 'world' has 1 shards, too few for 2 loaders" in message
            and "Traceback" not in message
        )


@pytest.mark.whole
def test_two_processes_killed_stopped_and_resumed(tmp_path, tiny_experiment, two_shards):
    job = Job(tmp_path, read_run(tiny_experiment[2][1] / "config.json"), two_shards)

    (first, message), (second, _) = job.signal(signal.SIGKILL)
    assert second.returncode == -signal.SIGKILL
    assert (
        first.returncode == 1
        and "another process of this run has died" in message
        and "Traceback" not in message
    )

    # The one that is told to stop tells the other.
    for process, message in job.signal(signal.SIGTERM):
        assert process.returncode == 75 and "SIGTERM at step" in message
    assert len(list((job.run / "checkpoints").glob("step-*.pt"))) == 1

    first, second = job.start()
    for process in (first, second):
        out, message = process.communicate(timeout=120)
        assert process.returncode == 0, message
        assert ("going on from step" in out) == (process is first)
    assert files.read_json(job.run / "model.json")["processes"] == 2
    expected = job.losses_of_one_process()
    log = metrics.read(job.run / "metrics.jsonl")
    assert [entry["step"] for entry in log] == [50, 96]
    assert log[0]["loss"] == pytest.approx(sum(expected[:50]) / 50, rel=1e-5)
    assert log[1]["loss"] == pytest.approx(sum(expected[50:]) / 46, rel=1e-5)
