"""Sharing out the GPUs of one machine among jobs that no scheduler places: one file lock a device.

A lock ends with the process that holds it, however that ends, so no device stays taken.
"""

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from kbench.errors import UserError

VARIABLE = "CUDA_VISIBLE_DEVICES"
DEV = Path("/dev")
PAUSE = 1.0
"""Seconds between two looks for a free device."""

_held: list[IO] = []


def visible(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the names of the GPUs that this process may use: CUDA_VISIBLE_DEVICES, or all that the
    driver shows.
    """
    if VARIABLE in environment:
        return [
            name.strip()
            for name in environment[VARIABLE].split(",")
            if name.strip() not in ("", "-1")
        ]
    return sorted((path.name[6:] for path in DEV.glob("nvidia[0-9]*")), key=int)


def placed(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether somebody else has given this process its devices: Slurm, torchrun, or an earlier
    claim of this job.
    """
    return bool(_held) or any(name in environment for name in ("SLURM_JOB_ID", "LOCAL_RANK"))


def claim(number: int) -> None:
    """Wait until `number` GPUs are free and make them the only ones that this process and its
    children see.

    Does nothing on a machine without GPUs or where a scheduler has chosen them. It must come before
    CUDA starts. Raises UserError if the machine has too few.
    """
    names = visible()
    if not names or placed():
        return
    if number > len(names):
        raise UserError(
            f"{number} processes want a GPU each, but {len(names)} can be seen here:"
            f" {', '.join(names)}"
        )
    folder = Path(tempfile.gettempdir()) / f"kbench-devices-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    said = False
    while not (taken := _take(folder, names, number)):
        if not said:
            print(
                f"waiting for {number} free of the GPUs {', '.join(names)}: other kbench jobs use"
                " them",
                file=sys.stderr,
            )
            said = True
        time.sleep(PAUSE)
    os.environ[VARIABLE] = ",".join(taken)


def _take(folder: Path, names: list[str], number: int) -> list[str]:
    """Lock `number` devices, or none."""
    taken: dict[str, IO] = {}
    for name in names:
        file = (folder / name.replace("/", "-")).open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        taken[name] = file
        if len(taken) == number:
            for kept in taken.values():
                # The lock goes over to a program that takes this process's place.
                os.set_inheritable(kept.fileno(), True)
            _held.extend(taken.values())
            return list(taken)
    for file in taken.values():
        file.close()
    return []
