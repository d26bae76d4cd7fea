"""One training at a time in a run's folder: a second one would repeat every line of the log and mix
checkpoints.

A POSIX record lock: the system takes it back when its process ends, however that ends, also over
NFS; and processes that load data, forked off the trainer, do not hold it.
"""

import errno
import fcntl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kbench import files
from kbench.errors import UserError

NAME = ".lock"
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
PATIENCE = 60.0
"""Seconds: a job that was told to stop and writes its checkpoint is waited for."""


class Busy(UserError):
    """Another process trains the run. A scheduler may start the command again, hence the status of
    an interruption.
    """

    status = 75


@contextmanager
def held(folder: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold a run's folder for training; raises Busy if another process still does after `patience`
    seconds.

    Where the file system has no locks, says so on stderr and goes on.
    """
    path = folder / NAME
    try:
        stream = path.open("a")
    except OSError as error:
        raise files.unwritable(path, error) from error
    with stream:
        _acquire(stream.fileno(), folder, time.monotonic() + patience)
        yield


def _acquire(descriptor: int, folder: Path, deadline: float) -> None:
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
            raise Busy(
                f"another process trains {folder}: wait for it, or end it and start this one again"
            )
        time.sleep(0.2)
