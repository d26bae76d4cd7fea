"""Jobs in the real image, run by the real Snakemake and Apptainer: what they see of the machine, as
root and not.
"""

import json
import os
import pwd
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kbench.container import apptainer, isolation

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]

SNAKEFILE = """\
import sys
from types import SimpleNamespace
from kbench.errors import UserError

experiment = SimpleNamespace(
    image=config["image"], results="results", data=config["data"], results_folders=["results"],
    request=lambda rule: SimpleNamespace(tasks=1)
)

include: config["rules"]

rule look:
    output: "results/seen.json"
    threads: 2
    shell: "python look.py '{config[data]}' '{config[hidden]}' {config[port]}"
"""
NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def place(open_folder):
    """A working folder and a data folder with white space in their names, and a home that no job is
    given.
    """
    for name in ("work here/results", "my data", "home", "my tmp"):
        (open_folder / name).mkdir(parents=True)
    (open_folder / "my data" / "pixels").touch()
    (open_folder / "home" / "letter").touch()
    (open_folder / "work here" / "Snakefile").write_text(SNAKEFILE)
    shutil.copy(Path(__file__).with_name("look.py"), open_folder / "work here")
    return open_folder


@pytest.fixture
def listening():
    """The port of a server on this machine, which no job may reach."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def outside(place) -> dict[str, str]:
    """Return the variables of the shell that starts the job, one of them not for the job."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY),
        "HOME": str(place / "home"),
        "TMPDIR": str(place / "my tmp"),
        "SECRET_TOKEN": "1234",
    }


def seen(place) -> dict:
    """Return what the job wrote down."""
    return json.loads((place / "work here" / "results" / "seen.json").read_text())


def check(seen, place, sif):
    """Assert that the job saw its folders, variables and threads, and nothing else."""
    environment = seen["environment"]
    assert environment["KBENCH_IMAGE_DIGEST"] == sif.digest
    assert environment["OMP_NUM_THREADS"] == "2"
    assert environment["TMPDIR"] == str(place / "my tmp") and seen["temporary"] == "done"
    assert seen["folder"] == environment["HOME"] == str(place / "work here")
    assert seen["data"] == ["pixels"]
    assert seen["programs"].pop("kbench") and not any(seen["programs"].values())
    assert seen["shared_memory"] > 1e9
    assert "SECRET_TOKEN" not in environment and "PYTHONPATH" not in environment
    assert not seen["hidden"] and seen["homes"].get("/root", []) in ([], [".bashrc", ".profile"])
    assert seen["interfaces"] == ["lo"] and seen["connect"].startswith("ConnectionRefusedError")
    assert all(
        result.startswith(("OSError 30", "PermissionError")) for result in seen["write"].values()
    ), seen["write"]


def test_a_job_of_snakemake_sees_what_it_is_given_and_nothing_else(sif, place, listening):
    settings = {
        "image": sif.path,
        "rules": REPOSITORY / "workflow" / "rules" / "container.smk",
        "data": place / "my data",
        "hidden": place / "home" / "letter",
        "port": listening,
    }
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--use-singularity", "--config"]
    command += [f"{name}={value}" for name, value in settings.items()]
    process = subprocess.run(
        command, cwd=place / "work here", env=outside(place), capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    check(seen(place), place, sif)
    assert seen(place)["user"] == os.getuid()


def plain_users_can_mount() -> bool:
    """Return whether /dev/fuse, through which Apptainer mounts a SIF for whoever is not root, is
    open to all.
    """
    try:
        return os.stat("/dev/fuse").st_mode & 0o006 == 0o006
    except OSError:
        return False


@pytest.mark.skipif(
    os.getuid() != 0, reason="this user is a plain user already: the test above is the one"
)
def test_a_plain_user_sees_the_same(sif, place, listening, monkeypatch):
    """By the command line that Snakemake makes of the options: nobody may not run root's Python on
    every machine.
    """
    if plain_users_can_mount():
        shutil.copyfile(sif.path, place / "kbench.sif")
        (place / "kbench.sif").chmod(0o644)
    else:
        # The same image as a folder, which nobody has to mount.
        unpack = [
            apptainer.program(),
            "build",
            "--sandbox",
            str(place / "kbench.sif"),
            str(sif.path),
        ]
        subprocess.run(unpack, check=True, capture_output=True)
    for path in [place / "my tmp", *place.glob("work here/**")]:
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
    monkeypatch.chdir(place / "work here")
    options = isolation.apptainer_shell(isolation.folders([place / "my data"]), sif.digest)
    job = shlex.join(
        [
            "python",
            "look.py",
            str(place / "my data"),
            str(place / "home" / "letter"),
            str(listening),
        ]
    )
    line = (
        f"apptainer exec --home {str(place / 'work here')!r} {options} ../kbench.sif bash -c"
        f" {shlex.quote(job)}"
    )
    plain = (
        "setpriv",
        f"--reuid={NOBODY.pw_uid}",
        f"--regid={NOBODY.pw_gid}",
        "--clear-groups",
        "bash",
        "-c",
        line,
    )
    process = subprocess.run(
        plain, env=outside(place) | {"OMP_NUM_THREADS": "2"}, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    check(seen(place), place, sif)
    assert seen(place)["user"] == NOBODY.pw_uid


MEETING = """\
import os
import sys
import torch
from kbench.commands.launch import launcher
from kbench.pretrain.session import session

if "RANK" not in os.environ:
    words = launcher(2, 1, {})
    os.execvp(words[0], [*words, sys.executable, __file__])
with session("cpu") as processes:
    gathered = processes.gather(torch.tensor([processes.rank + 1.0]))
    if processes.rank == 0:
        print("gathered", gathered.tolist())
"""


def test_processes_in_one_container_meet_without_a_network(sif, place, monkeypatch):
    """Where the machine's name cannot be resolved: torchrun would look for itself by it."""
    (place / "work here" / "meet.py").write_text(MEETING)
    monkeypatch.chdir(place / "work here")
    options = isolation.apptainer(isolation.folders([]))
    words = ["exec", "--home", os.getcwd(), *options, str(sif.path), "python", "meet.py"]
    process = subprocess.run(
        [apptainer.program(), *words], capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 0, process.stderr
    assert "gathered [1.0, 2.0]" in process.stdout
