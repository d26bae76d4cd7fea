"""The commands on the real image and the real engine, and what they say where there is none."""

import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kbench.container import docker_job, isolation

REPOSITORY = Path(__file__).parents[2]

WORLD = (
    "world",
    "make",
    "--output",
    "world",
    "--seed",
    "3",
    "--pairs",
    "64",
    "--eval-images",
    "48",
)


def test_the_doctor_examines_this_machine(kbench_alone, tmp_path):
    process = kbench_alone("doctor", cwd=tmp_path, TMPDIR=str(tmp_path))
    assert process.returncode == 0, process.stdout
    for line in (("torch", importlib.metadata.version("torch")), ("TMPDIR", str(tmp_path))):
        assert any(all(word in row for word in line) for row in process.stdout.splitlines()), (
            process.stdout
        )


def test_a_folder_that_cannot_be_written_is_bad(kbench_alone, tmp_path):
    process = kbench_alone("doctor", "--data", tmp_path / "none", cwd=tmp_path)
    assert process.returncode == 1 and "BAD   data" in process.stdout


def test_containers_without_an_image_say_how_to_build_one(tmp_path):
    process = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--use-singularity"),
            *("--config", "smoke=true", f"results={tmp_path}", f"image={tmp_path}/none.sif"),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 2 and "Traceback" not in process.stderr
    assert "kbench: no image at" in process.stderr and "kbench container build" in process.stderr


@pytest.mark.parametrize("kind", ["docker", "apptainer"])
def test_a_single_job_without_an_image_says_how_to_build_one(
    kbench_alone, refused, tmp_path, labelled, kind
):
    labelled(None)
    process = kbench_alone("container", "run", "--container", kind, "doctor", cwd=tmp_path)
    refused(process, "no image", "`kbench container build`")


@pytest.mark.slow
def test_verify_runs_the_doctor_inside(sif, kbench_alone, tmp_path):
    process = kbench_alone(
        "container", "verify", "--sif", sif.path, "--data", tmp_path, cwd=tmp_path
    )
    assert process.returncode == 0, process.stderr + process.stdout
    for line in (
        sif.digest,
        "root               read-only",
        "network            none",
        str(tmp_path),
    ):
        assert line in process.stdout


@pytest.mark.slow
def test_a_truncated_copy_is_refused(sif, kbench_alone, refused, tmp_path):
    shutil.copyfile(sif.path, tmp_path / "copy.sif")
    os.truncate(tmp_path / "copy.sif", sif.path.stat().st_size - 1_000_000)
    refused(
        kbench_alone("container", "verify", "--sif", tmp_path / "copy.sif"),
        "truncated",
        "kbench container build",
    )


def test_a_gpu_is_requested_where_there_is_one(monkeypatch, tmp_path):
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr(isolation, "GPU", tmp_path / "nvidiactl")
    [request] = docker_job._settings([tmp_path], "sha256:0")["device_requests"]
    assert request["Count"] == -1 and request["Capabilities"] == [["gpu"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    "user", [os.getuid(), pytest.param(65534, marks=pytest.mark.skipif("os.getuid() != 0"))]
)
def test_one_job_in_docker_writes_what_the_host_writes(
    docker_image, kbench_alone, tmp_path, open_folder, monkeypatch, user
):
    os.chown(open_folder, user, user)
    monkeypatch.chdir(open_folder)
    monkeypatch.setattr(os, "getuid", lambda: user)
    assert docker_job.run(docker_image, isolation.folders([]), ["kbench", *WORLD]) == 0
    assert (open_folder / "world" / "world.json").stat().st_uid == user
    assert kbench_alone(*WORLD, cwd=tmp_path).returncode == 0
    manifests = [
        json.loads((place / "world" / "world.json").read_text())
        for place in (open_folder, tmp_path)
    ]
    assert manifests[0] == manifests[1]


@pytest.mark.slow
def test_a_job_in_docker_is_isolated_and_its_exit_status_comes_back(
    docker_image, kbench_alone, tmp_path
):
    process = kbench_alone(
        "container",
        "run",
        "--container",
        "docker",
        "--image",
        docker_image,
        "doctor",
        cwd=tmp_path,
        SECRET="1",
    )
    assert process.returncode == 0, process.stderr
    for line in (
        docker_image,
        "root               read-only",
        "network            none",
        str(tmp_path),
    ):
        assert line in process.stdout
    wrong = (
        "container",
        "run",
        "--container",
        "docker",
        "--image",
        docker_image,
        "variants",
        "--no-such-option",
    )
    assert kbench_alone(*wrong, cwd=tmp_path).returncode == 2


@pytest.mark.slow
def test_a_signal_reaches_the_job_in_docker(docker_image, tmp_path):
    """Training writes a checkpoint before it ends: the job here leaves a note."""
    job = """
import signal, sys, time
from pathlib import Path

def leave(number, frame):
    Path("left").write_text(str(number))
    sys.exit(75)

signal.signal(signal.SIGTERM, leave)
Path("started").touch()
time.sleep(60)
"""
    command = f"docker_job.run({docker_image!r}, [], ['python', '-c', {job!r}])"
    ours = f"import sys; from kbench.container import docker_job; sys.exit({command})"
    process = subprocess.Popen(
        [sys.executable, "-c", ours],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    until = time.monotonic() + 60
    while not (tmp_path / "started").exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.terminate()
    assert process.wait(timeout=60) == 75
    assert (tmp_path / "left").read_text() == str(signal.SIGTERM.value)
