"""GPUs of one machine are shared out among jobs; none is needed here, their number is pretended."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import ROOT

from kbench import devices
from kbench.commands.launch import contained, launched_in, launcher
from kbench.errors import UserError

JOB = """
import sys
from pathlib import Path
from kbench import devices
devices.claim(int(sys.argv[1]))
print(devices.os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path):
    """Start a job that claims devices of a machine with the GPUs 0, 1, 2 and holds them until its
    input ends.
    """
    started = []

    def job(number, **environment):
        variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
        variables |= {"CUDA_VISIBLE_DEVICES": "0,1,2"} | environment
        process = subprocess.Popen(
            [sys.executable, "-c", JOB, str(number)],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield job
    for process in started:
        process.kill()
        process.communicate()


def test_parallel_jobs_get_different_devices_and_one_too_many_waits(start):
    jobs = [start(1), start(2)]
    given = [job.stdout.readline().strip().split(",") for job in jobs]
    assert sorted(given[0] + given[1]) == ["0", "1", "2"] and len(given[1]) == 2
    late = start(1)
    assert "waiting for 1 free of the GPUs 0, 1, 2" in late.stderr.readline()
    # Even a job that is killed frees its devices.
    jobs[1].kill()
    assert late.stdout.readline().strip() in given[1]


@pytest.mark.parametrize("variable", ["SLURM_JOB_ID", "LOCAL_RANK"])
def test_what_slurm_or_torchrun_chose_is_left_alone(start, variable):
    jobs = [start(1, **{variable: "0"}) for _ in range(2)]
    assert [job.stdout.readline().strip() for job in jobs] == ["0,1,2"] * 2


def test_more_devices_than_there_are_is_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(UserError, match="3 processes want a GPU each, but 2 can be seen"):
        devices.claim(3)


def test_a_machine_without_gpus_claims_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "DEV", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    devices.claim(5)
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    for name in ("nvidia10", "nvidia2", "nvidiactl"):
        (tmp_path / name).touch()
    assert devices.visible({}) == ["2", "10"]
    assert devices.visible({"CUDA_VISIBLE_DEVICES": "-1"}) == []


def test_processes_start_under_srun_in_slurm_and_torchrun_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "srun").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert launcher(1, 4, {"SLURM_JOB_ID": "7"}) == []
    assert launcher(2, 4, {"SLURM_JOB_ID": "7"})[:3] == ["srun", "--ntasks=2", "--cpus-per-task=4"]
    assert "torch.distributed.run" in launcher(2, 4, {})
    monkeypatch.setenv("PATH", "/nowhere")  # in a container there is no srun
    assert "--nproc-per-node=2" in launcher(2, 4, {"SLURM_JOB_ID": "7"})


def test_srun_starts_a_container_for_each_process_and_torchrun_all_in_one(tmp_path, monkeypatch):
    (tmp_path / "srun").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    container = contained(Path("kbench.sif"), [Path("/my data")])
    assert container[-4:] == ["--image", "kbench.sif", "--bind", "/my data"]
    words = launched_in(container, 2, 4, {"SLURM_JOB_ID": "7"})
    assert words[0] == "srun" and words[-len(container) :] == container
    words = launched_in(container, 2, 4, {})
    assert words == [*container, "launch", "--processes", "2", "--cpus", "4"]
    assert launched_in(container, 1, 4, {"SLURM_JOB_ID": "7"}) == container


def test_what_is_launched_must_be_a_command(kbench_alone, refused):
    refused(
        kbench_alone("launch", "--processes", 1, "pretrian"),
        "unknown command 'pretrian'",
        "did you mean 'pretrain'",
    )
