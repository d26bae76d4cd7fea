"""The Laplace kernel."""

from __future__ import annotations

from kbench.lazily import torch
from kbench.similarity.kernels.base import Kernel, half_normal


class Laplace(Kernel):
    """k(v, t) = exp(-|v - t| / length).

    With n standard normal, E exp(-r^2 / (2 length^2 n^2)) = exp(-r / length), hence s = 1 / (length
    |n|): the multivariate Cauchy law.
    """

    name = "laplace"
    formula = "exp(-|v - t| / length)"

    def value(self, squared_distance: torch.Tensor) -> torch.Tensor:
        """Return k for squared distances; the gradient at distance 0, where k has a cusp, is taken
        as 0.
        """
        smallest = torch.finfo(squared_distance.dtype).tiny
        return torch.exp(squared_distance.clamp(min=smallest).sqrt() / -self.length)

    def scales(self, uniform: torch.Tensor) -> torch.Tensor:
        """Return draws of 1 / (length |n|)."""
        return 1 / (self.length * half_normal(uniform))
