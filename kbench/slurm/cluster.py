"""Questions to Slurm, each with a time limit: a command that cannot reach its daemon may wait for
ever.
"""

import re
import subprocess
from dataclasses import dataclass

from kbench.errors import UserError

PATIENCE = 20
"""Seconds to wait for an answer."""


def ask(*command: str, patience: float | None = None) -> subprocess.CompletedProcess:
    """Run a command of Slurm and return it, finished; UserError if it is not installed or gives no
    answer.
    """
    seconds = patience or PATIENCE
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except FileNotFoundError as error:
        raise UserError(
            f"no {command[0]} here: the slurm profile is for a login node of a Slurm cluster"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"Slurm gives no answer to `{' '.join(command)}` within {seconds:g} s"
        ) from error


def words(process: subprocess.CompletedProcess) -> str:
    """Return what Slurm said, in one line and without the names of its programs."""
    lines = [re.sub(r"^\w+: (error: )?", "", line).strip() for line in process.stderr.splitlines()]
    return (
        "; ".join(dict.fromkeys(line for line in lines if line))
        or f"exit status {process.returncode}"
    )


@dataclass(frozen=True)
class Partition:
    """One line of sinfo: nodes of one kind in one partition."""

    name: str
    default: bool
    nodes: int
    state: str
    cpus: str
    memory_mb: str
    gpus: str
    time_limit: str


def partitions() -> list[Partition]:
    """Return what sinfo lists; UserError with Slurm's words if it does not answer."""
    process = ask("sinfo", "--noheader", "--format=%P|%D|%T|%c|%m|%G|%l")
    if process.returncode:
        raise UserError(f"sinfo: {words(process)}")
    listed = []
    for line in process.stdout.splitlines():
        name, nodes, state, cpus, memory, gres, limit = (part.strip() for part in line.split("|"))
        gpus = ", ".join(re.findall(r"gpu:[^,(]+", gres))
        listed.append(
            Partition(
                name.rstrip("*"), name.endswith("*"), int(nodes), state, cpus, memory, gpus, limit
            )
        )
    return listed


def accounting_refused() -> str | None:
    """Return why sacct gives no answers, in its own words, or None if it does."""
    try:
        process = ask("sacct", "--noheader", "--allocations", "--starttime=now")
    except UserError as error:
        return str(error)
    return words(process) if process.returncode else None


def remembered_seconds() -> int:
    """Return for how long squeue still shows a job that has ended (MinJobAge)."""
    process = ask("scontrol", "show", "config")
    stated = re.search(r"^MinJobAge\s*=\s*(\d+)", process.stdout, flags=re.MULTILINE)
    if process.returncode or not stated:
        raise UserError(f"scontrol show config: {words(process)}")
    return int(stated[1])
