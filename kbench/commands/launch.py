"""Start a kbench command as several processes: under srun in a job of Slurm, under torchrun
elsewhere.

With one process the command is started as it is. On a machine without a scheduler each process gets
a GPU of its own. With an image srun starts a container for each process, since srun is in none; and
torchrun starts all of them in one.

Example: kbench launch --processes 4 --cpus 8 pretrain --run results/demo/runs/RUN --manifest
results/demo/corpus.json
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kbench import devices
from kbench.commands import COMMANDS
from kbench.errors import unknown

KBENCH = (sys.executable, "-m", "kbench")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the number of processes and the command."""
    parser.add_argument(
        "--processes", type=int, required=True, metavar="N", help="how many; 1 adds nothing"
    )
    parser.add_argument(
        "--cpus", type=int, default=1, metavar="N", help="CPUs of each; default %(default)s"
    )
    parser.add_argument("--image", type=Path, help="SIF in which Apptainer runs the command")
    parser.add_argument(
        "--bind", type=Path, action="append", default=[], help="folder that it may use there"
    )
    parser.add_argument("command", help="a command of kbench")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its options")


def run(arguments: argparse.Namespace) -> None:
    """Become the command, or what starts it."""
    if arguments.command not in COMMANDS:
        raise unknown("command", arguments.command, COMMANDS)
    command = [arguments.command, *arguments.arguments]
    number = (arguments.processes, arguments.cpus)
    if arguments.image is not None:
        container = contained(arguments.image, arguments.bind)
        words = launched_in(container, *number, os.environ) + command
    else:
        words = [*launcher(*number, os.environ), *KBENCH, *command]
        if arguments.processes > 1:
            devices.claim(arguments.processes)
    sys.stdout.flush()
    # In its place: signals reach the training processes, or what forwards to them, and nobody stays
    # in between.
    os.execvp(words[0], words)


def contained(image: Path, binds: Iterable[Path]) -> list[str]:
    """Return the words that run a command of kbench in an image, which sees these folders."""
    given = (word for folder in binds for word in ("--bind", str(folder)))
    return [*KBENCH, "container", "run", "--container", "apptainer", "--image", str(image), *given]


def launched_in(
    container: Sequence[str], processes: int, cpus: int, environment: Mapping[str, str]
) -> list[str]:
    """Return the words that come before a command in a container: srun outside of it, or torchrun
    within.
    """
    outside = launcher(processes, cpus, environment)
    if not outside or outside[0] == "srun":
        return [*outside, *container]
    return [*container, "launch", "--processes", str(processes), "--cpus", str(cpus)]


def launcher(processes: int, cpus: int, environment: Mapping[str, str]) -> list[str]:
    """Return the words that come before the command."""
    if processes == 1:
        return []
    if "SLURM_JOB_ID" in environment and shutil.which("srun"):
        # One process that dies would leave the others waiting for it.
        return ["srun", f"--ntasks={processes}", f"--cpus-per-task={cpus}", "--kill-on-bad-exit=1"]
    # By the loopback's address: the machine's name means nothing in a container without a network.
    here = ("--standalone", "--local-addr=127.0.0.1", f"--nproc-per-node={processes}")
    return [sys.executable, "-m", "torch.distributed.run", *here, "--no-python", "--"]
