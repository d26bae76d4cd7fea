"""The inverse multiquadric kernel."""

from __future__ import annotations

from kbench.lazily import torch
from kbench.similarity.kernels.base import Kernel, half_normal


class InverseMultiquadric(Kernel):
    """k(v, t) = length / sqrt(length^2 + |v - t|^2).

    With n standard normal, E exp(-n^2 r^2 / (2 length^2)) = (1 + r^2 / length^2)^(-1/2), hence s =
    |n| / length.
    """

    name = "imq"
    formula = "length / sqrt(length^2 + |v - t|^2)"

    def value(self, squared_distance: torch.Tensor) -> torch.Tensor:
        """Return k for squared distances."""
        return torch.rsqrt(1 + squared_distance / self.length**2)

    def scales(self, uniform: torch.Tensor) -> torch.Tensor:
        """Return draws of |n| / length."""
        return half_normal(uniform) / self.length
