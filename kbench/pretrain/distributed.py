"""Training by several processes, each with a part of every batch, which torchrun and srun start alike."""

import contextlib
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from kbench.errors import UserError

RENDEZVOUS = timedelta(minutes=5)
"""How long the first process waits for the last one to start: a cold file system may take minutes to import torch."""

SLOWEST = timedelta(minutes=30)
"""How long one process waits for another that is alive, but compiles or waits for data."""

SILENCE = timedelta(seconds=45)
"""How long a process may be silent before the others take it for dead. A closed connection is noticed at once."""

BEAT_SECONDS, GRACE_SECONDS = 5, 5
"""Between two signs of life; and for a process to leave in order once another one is dead."""

FIRST_PORT, PORTS = 15000, 15000
"""Range of the rendezvous port under Slurm, below the ports that Linux hands out by itself."""


class ProcessLost(Exception):
    """Another process of the run has died or stopped; the command exits with status 1."""


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

    A batch script is not a job step: without srun before the command it is a process on its own, whatever the number
    of tasks of its job. UserError if a variable is missing or not a number.
    """
    try:
        if int(environment.get("WORLD_SIZE", 1)) > 1:
            host, port = environment["MASTER_ADDR"], int(environment["MASTER_PORT"])
            return Place(
                *(int(environment[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")), host=host, port=port
            )
        if "WORLD_SIZE" not in environment and int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
            hosts = environment.get("SLURM_STEP_NODELIST") or environment["SLURM_JOB_NODELIST"]
            step = int(environment.get("SLURM_STEP_ID", 0))
            return Place(
                *(int(environment[name]) for name in ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")),
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


class Processes:
    """The processes that train one run together; here one on its own, for which nothing needs to be agreed."""

    rank: int = 0
    size: int = 1

    @property
    def writes(self) -> bool:
        """Whether this is the one process that writes files and shows progress."""
        return self.rank == 0

    def share(self, batch_size: int) -> int:
        """Return this process's part of a batch; UserError if it cannot be dealt evenly."""
        if batch_size % self.size:
            raise UserError(f"batch_size {batch_size} cannot be dealt to {self.size} processes evenly")
        return batch_size // self.size

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the rows (n, ...) of all processes, (size * n, ...), in the order of ranks.

        Every process must compute the same loss from them. Then the mean over processes of a parameter's gradient is
        that of one process with all rows.
        """
        return tensor

    def mean(self, value: float) -> float:
        """Return the mean of the processes' values."""
        return value

    def most(self, value: int) -> int:
        """Return the largest of the processes' values."""
        return value

    def wait(self) -> None:
        """Wait until all processes are here."""

    def parallel(self, module: nn.Module) -> nn.Module:
        """Return the module such that backward() leaves the mean over processes of every gradient."""
        return module


class Group(Processes):
    """Several processes, connected."""

    def __init__(self) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        # What is agreed lies in main memory, where asking for it does not hold up an accelerator.
        self.control = distributed.new_group(backend="gloo", timeout=SLOWEST)

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the rows of all processes."""
        return _Gather.apply(tensor, self.size)

    def mean(self, value: float) -> float:
        """Return the mean of the processes' values."""
        return self._reduce(value, distributed.ReduceOp.SUM, torch.float64) / self.size

    def most(self, value: int) -> int:
        """Return the largest of the processes' values."""
        return self._reduce(value, distributed.ReduceOp.MAX, torch.int64)

    def wait(self) -> None:
        """Wait until all processes are here."""
        distributed.barrier(self.control)

    def parallel(self, module: nn.Module) -> nn.Module:
        """Return the module in torch's wrapper, batch norms replaced by ones over the whole batch."""
        for part in list(module.modules()):
            for name, child in part.named_children():
                if isinstance(child, _BatchNorm):
                    setattr(part, name, WholeBatchNorm(child, self))
        return nn.parallel.DistributedDataParallel(module, forward_sync_buffers=False)

    def _reduce(self, value: float, operation: distributed.ReduceOp, dtype: torch.dtype) -> float:
        tensor = torch.tensor(value, dtype=dtype)
        distributed.all_reduce(tensor, operation, group=self.control)
        return tensor.item()


class _Gather(torch.autograd.Function):
    """Rows of all processes; backward sums what all of them send back to a process's rows.

    torch.distributed.nn.functional.all_gather is the same, but in torch 2.13 with gloo it puts gradients that are not
    contiguous, such as those of transposed logits, in the wrong places.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, tensor: torch.Tensor, size: int) -> torch.Tensor:
        ctx.shape = tensor.shape
        gathered = tensor.new_empty(size * len(tensor), *tensor.shape[1:])
        distributed.all_gather_single(gathered, tensor.contiguous())
        return gathered

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, of_gathered: torch.Tensor) -> tuple[torch.Tensor, None]:
        of_tensor = of_gathered.new_empty(ctx.shape)
        distributed.reduce_scatter_single(of_tensor, of_gathered.contiguous())
        return of_tensor, None


class WholeBatchNorm(_BatchNorm):
    """Batch norm over the batch of all processes; torch's own SyncBatchNorm does not run on a CPU."""

    def __init__(self, local: _BatchNorm, processes: Processes) -> None:
        super().__init__(local.num_features, local.eps, local.momentum, local.affine, local.track_running_stats)
        self._parameters, self._buffers = local._parameters, local._buffers
        self.processes = processes
        self.train(local.training)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise each channel of x (n, channels, ...); in training by mean and variance over all processes."""
        if not self.training:
            return super().forward(x)
        over = [0, *range(2, x.ndim)]
        values = x if x.dtype == torch.float64 else x.float()
        variances, means = torch.var_mean(values, over, correction=0)
        means, variances = self.processes.gather(torch.stack([means, variances])[None]).unbind(1)
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        self._track(mean.detach(), variance.detach(), self.processes.size * x.numel() // x.shape[1])
        shape = (-1, *[1] * (x.ndim - 2))
        factor = self.weight * torch.rsqrt(variance + self.eps)
        return (values * factor.view(shape) + (self.bias - mean * factor).view(shape)).to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: torch.Tensor, variance: torch.Tensor, count: int) -> None:
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
        self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var), self.momentum)

    def _check_input_dim(self, x: torch.Tensor) -> None:
        """Any number of dimensions will do."""


class Heartbeat:
    """Notices within a minute that another process is gone, even while this one waits for an accelerator."""

    def __init__(self) -> None:
        self.group = distributed.new_group(backend="gloo", timeout=SILENCE)
        self.finished, self.leaving = False, threading.Event()
        self.thread = threading.Thread(target=self._beat, daemon=True)
        self.thread.start()

    def finish(self) -> None:
        """Wait until all processes are finished: none may leave while another one still listens to it."""
        self.finished = True
        self.leaving.set()
        self.thread.join()

    def abandon(self) -> None:
        """Stop listening, whatever the others do; the thread has to be gone before the interpreter is."""
        self.leaving.set()
        self.thread.join(2 * BEAT_SECONDS)

    def _beat(self) -> None:
        try:
            while True:
                finished = torch.tensor(int(self.finished))  # int64, whatever torch's default type is
                distributed.all_reduce(finished, group=self.group)
                if finished == distributed.get_world_size() or (self.leaving.is_set() and not self.finished):
                    return
                # Who is finished waits for the others' beats and not for the clock.
                self.finished or self.leaving.wait(BEAT_SECONDS)
        except RuntimeError:
            # The main thread as a rule finds out by itself and leaves in order.
            if not self.leaving.wait(GRACE_SECONDS):
                print(f"kbench: {_lost(distributed.get_rank())}", file=sys.stderr, flush=True)
                os._exit(1)


@contextlib.contextmanager
def session(device: str) -> Iterator[Processes]:
    """Connect to the other processes inside the block, if torchrun or srun started several.

    With CUDA each takes the device of its local rank. Raises ProcessLost if another one does not come or dies.
    """
    found = place(os.environ)
    if found is None:
        yield Processes()
        return
    if device == "cuda":
        torch.cuda.set_device(found.local_rank % torch.cuda.device_count())
    _meet(found, "nccl" if device == "cuda" else "gloo")
    heartbeat = Heartbeat()
    try:
        yield Group()
        heartbeat.finish()
        distributed.destroy_process_group()
    except RuntimeError as error:
        # gloo raises plain RuntimeErrors.
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        raise ProcessLost(_lost(found.rank)) from error
    finally:
        heartbeat.abandon()


def _meet(found: Place, backend: str) -> None:
    """Connect all processes through the variables that torchrun has set; under srun they are set here."""
    os.environ.update(
        RANK=str(found.rank), WORLD_SIZE=str(found.size), MASTER_ADDR=found.host, MASTER_PORT=str(found.port)
    )
    try:
        store, rank, size = next(distributed.rendezvous("env://", timeout=RENDEZVOUS))
        distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=SLOWEST)
    except distributed.DistError as error:
        reason = str(error).splitlines()[0]
        raise ProcessLost(
            f"process {found.rank} of {found.size} did not meet the others at {found.host}:{found.port}: {reason}"
        ) from error


def _lost(rank: int) -> str:
    return f"process {rank} stops: another process of this run has died or stopped; run again to go on"
