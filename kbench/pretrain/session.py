"""Connecting the processes of a run, which torchrun and srun start alike, for as long as they
train.
"""

import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta

import torch
from torch import distributed

from kbench.pretrain.heartbeat import Heartbeat, lost
from kbench.pretrain.place import Place, place
from kbench.pretrain.processes import SLOWEST, Group, Processes

RENDEZVOUS = timedelta(minutes=5)
"""How long the first process waits for the last one to start: a cold file system may take minutes
to import torch.
"""


class ProcessLost(Exception):
    """Another process of the run has died or stopped; the command exits with status 1."""


@contextlib.contextmanager
def session(device: str) -> Iterator[Processes]:
    """Connect to the other processes inside the block, if torchrun or srun started several.

    With CUDA each takes the device of its local rank. Raises ProcessLost if another one does not
    come or dies.
    """
    here = place(os.environ)
    if here is None:
        yield Processes()
        return
    if device == "cuda":
        torch.cuda.set_device(here.local_rank % torch.cuda.device_count())
    _meet(here, "nccl" if device == "cuda" else "gloo")
    heartbeat = Heartbeat()
    try:
        yield Group()
        heartbeat.finish()
        distributed.destroy_process_group()
    except RuntimeError as error:
        # gloo raises plain RuntimeErrors.
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        raise ProcessLost(lost(here.rank)) from error
    finally:
        heartbeat.abandon()


def _meet(here: Place, backend: str) -> None:
    """Connect all processes through the variables that torchrun has set; under srun they are set
    here.
    """
    os.environ.update(
        RANK=str(here.rank),
        WORLD_SIZE=str(here.size),
        MASTER_ADDR=here.host,
        MASTER_PORT=str(here.port),
    )
    try:
        store, rank, size = next(distributed.rendezvous("env://", timeout=RENDEZVOUS))
        distributed.init_process_group(
            backend, store=store, rank=rank, world_size=size, timeout=SLOWEST
        )
    except distributed.DistError as error:
        reason = str(error).splitlines()[0]
        raise ProcessLost(
            f"process {here.rank} of {here.size} did not meet the others at"
            f" {here.host}:{here.port}: {reason}"
        ) from error
