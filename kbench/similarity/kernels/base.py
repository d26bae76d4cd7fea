"""What a kernel is: a scale mixture of Gaussians."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from kbench.lazily import torch


@dataclass(frozen=True)
class Kernel(ABC):
    """A kernel k(v, t) of |v - t| that is positive definite in every dimension, with k(v, v) = 1.

    Such a kernel is a mixture of Gaussians of different widths (Schoenberg 1938, "Metric spaces and
    completely monotone functions"), so that its spectral law is that of s z: z a standard normal
    vector, s >= 0 an independent random number. A kernel therefore says two things: its value, and
    the law of s.
    """

    name: ClassVar[str]
    formula: ClassVar[str]

    length: float

    @abstractmethod
    def value(self, squared_distance: torch.Tensor) -> torch.Tensor:
        """Return k, elementwise, for the squared distances |v - t|^2."""

    @abstractmethod
    def scales(self, uniform: torch.Tensor) -> torch.Tensor:
        """Return draws of s (D,), made from as many numbers uniform on [0, 1), float64."""


def half_normal(uniform: torch.Tensor) -> torch.Tensor:
    """Return |n| > 0, n standard normal, from numbers uniform on [0, 1), exact in both tails."""
    smallest = torch.finfo(uniform.dtype).eps / 4
    return 2**0.5 * torch.erfinv(uniform.clamp(min=smallest))
