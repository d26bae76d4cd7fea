"""Batch norm whose batch is that of all processes."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

Gather = Callable[[torch.Tensor], torch.Tensor]
"""Returns the rows of all processes, given those of one."""


def over_all_processes(module: nn.Module, gather: Gather, processes: int) -> None:
    """Replace every batch norm of a module by one over the batch of all processes."""
    for part in list(module.modules()):
        for name, child in part.named_children():
            if isinstance(child, _BatchNorm):
                setattr(part, name, WholeBatchNorm(child, gather, processes))


class WholeBatchNorm(_BatchNorm):
    """Batch norm over the batch of all processes; torch's own SyncBatchNorm does not run on a
    CPU.
    """

    def __init__(self, local: _BatchNorm, gather: Gather, processes: int) -> None:
        super().__init__(
            local.num_features, local.eps, local.momentum, local.affine, local.track_running_stats
        )
        self._parameters, self._buffers = local._parameters, local._buffers
        self.gather, self.processes = gather, processes
        self.train(local.training)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise each channel of x (n, channels, ...); in training by mean and variance over all
        processes.
        """
        if not self.training:
            return super().forward(x)
        over = [0, *range(2, x.ndim)]
        values = x if x.dtype == torch.float64 else x.float()
        variances, means = torch.var_mean(values, over, correction=0)
        means, variances = self.gather(torch.stack([means, variances])[None]).unbind(1)
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        self._track(mean.detach(), variance.detach(), self.processes * x.numel() // x.shape[1])
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
