"""The processes that train one run together, each with a part of every batch: what they agree on
and exchange.
"""

from datetime import timedelta

import torch
from torch import distributed, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from kbench.errors import UserError
from kbench.pretrain.batch_norm import over_all_processes

SLOWEST = timedelta(minutes=30)
"""How long one process waits for another that is alive, but compiles or waits for data."""


class Processes:
    """The processes that train one run together; here one on its own, for which nothing needs to be
    agreed.
    """

    rank: int = 0
    size: int = 1

    @property
    def writes(self) -> bool:
        """Whether this is the one process that writes files and shows progress."""
        return self.rank == 0

    def share(self, batch_size: int) -> int:
        """Return this process's part of a batch; UserError if it cannot be dealt evenly."""
        if batch_size % self.size:
            raise UserError(
                f"batch_size {batch_size} cannot be dealt to {self.size} processes evenly"
            )
        return batch_size // self.size

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the rows (n, ...) of all processes, (size * n, ...), in the order of ranks.

        Every process must compute the same loss from them. Then the mean over processes of a
        parameter's gradient is that of one process with all rows.
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
        """Return the module such that backward() leaves the mean over processes of every
        gradient.
        """
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
        """Return the module in torch's wrapper, batch norms replaced by ones over the whole
        batch.
        """
        over_all_processes(module, self.gather, self.size)
        return nn.parallel.DistributedDataParallel(module, forward_sync_buffers=False)

    def _reduce(self, value: float, operation: distributed.ReduceOp, dtype: torch.dtype) -> float:
        tensor = torch.tensor(value, dtype=dtype)
        distributed.all_reduce(tensor, operation, group=self.control)
        return tensor.item()


class _Gather(torch.autograd.Function):
    """Rows of all processes; backward sums what all of them send back to a process's rows.

    torch.distributed.nn.functional.all_gather is the same, but in torch 2.13 with gloo it puts
    gradients that are not contiguous, such as those of transposed logits, in the wrong places.
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
