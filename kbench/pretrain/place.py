"""Where in a group of processes this one stands, as torchrun and srun say it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kbench.errors import UserError

FIRST_PORT, PORTS = 15000, 15000
"""Range of the rendezvous port under Slurm, below the ports that Linux hands out by itself."""


@dataclass(frozen=True)
class Place:
    """Where in a group of processes this one stands, and where the group meets."""

    rank: int
    size: int
    local_rank: int
    host: str
    port: int


def place(environment: Mapping[str, str]) -> Place | None:
    """Return what torchrun's or srun's variables say, or None for a process on its own.

    A batch script is not a job step: without srun before the command it is a process on its own,
    whatever the number of tasks of its job. UserError if a variable is missing or not a number.
    """
    try:
        if int(environment.get("WORLD_SIZE", 1)) > 1:
            host, port = environment["MASTER_ADDR"], int(environment["MASTER_PORT"])
            return Place(
                *(int(environment[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")),
                host=host,
                port=port,
            )
        if "WORLD_SIZE" not in environment and int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
            hosts = environment.get("SLURM_STEP_NODELIST") or environment["SLURM_JOB_NODELIST"]
            step = int(environment.get("SLURM_STEP_ID", 0))
            return Place(
                *(
                    int(environment[name])
                    for name in ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
                ),
                host=first_host(hosts),
                port=FIRST_PORT + (int(environment["SLURM_JOB_ID"]) + 101 * step) % PORTS,
            )
    except (KeyError, ValueError) as error:
        raise UserError(
            f"this looks like one of several training processes, but a variable is wrong: {error}"
        ) from error
    return None


def first_host(nodes: str) -> str:
    """Return the first host of Slurm's list of nodes.

    >>> first_host("gpu[07-09,12],login")
    'gpu07'
    """
    first = re.split(r",(?![^\[]*\])", nodes)[0]
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", first)
