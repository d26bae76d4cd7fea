"""One training at a time in a run's folder, and one workflow in an experiment's: a second one would
repeat every line of the log, mix checkpoints, and start what the first one is doing.

A POSIX record lock: the system takes it back when its process ends, however that ends, also over
NFS; and processes that load data, forked off the trainer, do not hold it.
"""

import errno
import fcntl
import os
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from kbench import files
from kbench.errors import UserError

NAME = ".lock"
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
PATIENCE = 60.0
"""Seconds: a job that was told to stop and writes its checkpoint is waited for."""

FLOCK = "hhqqi4x"
"""Linux's struct flock on 64 bits: type, whence, start, length, process."""

_kept: list[TextIO] = []


class Busy(UserError):
    """Another process is at work in the folder. A scheduler may start the command again, hence the
    status of an interruption.
    """

    status = 75


@contextmanager
def held(folder: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold a run's folder for training; raises Busy if another process still does after `patience`
    seconds.

    Where the file system has no locks, says so on stderr and goes on.
    """
    with _opened(folder) as stream:
        _acquire(stream.fileno(), folder, f"another process trains {folder}", patience)
        yield


def keep(folder: Path, patience: float = 0.0) -> None:
    """Hold an experiment's folder while this process lives; raises Busy if another one does."""
    folder.mkdir(parents=True, exist_ok=True)
    stream = _opened(folder)
    _acquire(stream.fileno(), folder, f"another snakemake works on {folder}", patience)
    _kept.append(stream)


def is_held(folder: Path) -> bool | None:
    """Return whether another process holds a folder, without taking it; None where the system
    cannot tell.
    """
    path = folder / NAME
    if not path.is_file():
        return False
    if sys.platform != "linux":
        return None
    try:
        with path.open("rb") as stream:
            asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            told = struct.unpack(FLOCK, fcntl.fcntl(stream, fcntl.F_GETLK, asked))
    except OSError:
        return None
    return told[0] != fcntl.F_UNLCK


def _opened(folder: Path) -> TextIO:
    path = folder / NAME
    try:
        return path.open("a")
    except OSError as error:
        raise files.unwritable(path, error) from error


def _acquire(descriptor: int, folder: Path, busy: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno in UNSUPPORTED:
                print(
                    f"kbench: no locks on the file system of {folder}: start no second job on it",
                    file=sys.stderr,
                )
                return
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise files.unwritable(folder / NAME, error) from error
        if time.monotonic() > deadline:
            raise Busy(f"{busy}: wait for it, or end it and start this one again")
        time.sleep(0.2)
