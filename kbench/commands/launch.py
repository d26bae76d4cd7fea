"""Start a kbench command as several processes: under srun in a job of Slurm, under torchrun
elsewhere.

With one process the command is started as it is. On a machine without a scheduler each process gets
a GPU of its own.

Example: kbench launch --processes 4 --cpus 8 pretrain --run results/demo/runs/RUN --manifest
results/demo/corpus.json
"""

import argparse
import os
import shutil
import sys
from collections.abc import Mapping

from kbench import devices
from kbench.commands import COMMANDS
from kbench.errors import unknown


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the number of processes and the command."""
    parser.add_argument(
        "--processes", type=int, required=True, metavar="N", help="how many; 1 adds nothing"
    )
    parser.add_argument(
        "--cpus", type=int, default=1, metavar="N", help="CPUs of each; default %(default)s"
    )
    parser.add_argument("command", help="a command of kbench")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its options")


def run(arguments: argparse.Namespace) -> None:
    """Become the command, or what starts it."""
    if arguments.command not in COMMANDS:
        raise unknown("command", arguments.command, COMMANDS)
    kbench = [sys.executable, "-m", "kbench", arguments.command, *arguments.arguments]
    words = launcher(arguments.processes, arguments.cpus, os.environ) + kbench
    if arguments.processes > 1:
        devices.claim(arguments.processes)
    sys.stdout.flush()
    # In its place: signals reach the training processes, or what forwards to them, and nobody stays
    # in between.
    os.execvp(words[0], words)


def launcher(processes: int, cpus: int, environment: Mapping[str, str]) -> list[str]:
    """Return the words that come before the command."""
    if processes == 1:
        return []
    if "SLURM_JOB_ID" in environment and shutil.which("srun"):
        # One process that dies would leave the others waiting for it.
        return ["srun", f"--ntasks={processes}", f"--cpus-per-task={cpus}", "--kill-on-bad-exit=1"]
    torchrun = [sys.executable, "-m", "torch.distributed.run"]
    return [*torchrun, "--standalone", f"--nproc-per-node={processes}", "--no-python", "--"]
