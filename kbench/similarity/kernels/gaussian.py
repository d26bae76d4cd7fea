"""The Gaussian kernel."""

from __future__ import annotations

from kbench.lazily import torch
from kbench.similarity.kernels.base import Kernel


class Gaussian(Kernel):
    """k(v, t) = exp(-|v - t|^2 / (2 length^2)); frequencies are normal with standard deviation 1 /
    length.
    """

    name = "gaussian"
    formula = "exp(-|v - t|^2 / (2 length^2))"

    def value(self, squared_distance: torch.Tensor) -> torch.Tensor:
        """Return k for squared distances."""
        return torch.exp(squared_distance / (-2 * self.length**2))

    def scales(self, uniform: torch.Tensor) -> torch.Tensor:
        """Return the constant 1 / length."""
        return torch.full_like(uniform, 1 / self.length)
