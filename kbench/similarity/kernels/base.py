"""What a kernel is: a scale mixture of Gaussians."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch


@dataclass(frozen=True)
class Kernel(ABC):
    """A kernel k(v, t) of |v - t| that is positive definite in every dimension, with k(v, v) = 1.

    By Schoenberg's theorem such a kernel is a mixture of Gaussians of different widths, so that its spectral
    law (Bochner) is that of s z, with z a standard normal vector and s >= 0 an independent random number. A
    kernel therefore says two things: its value, and how to draw s.
    """

    name: ClassVar[str]
    formula: ClassVar[str]

    length: float

    @abstractmethod
    def value(self, squared_distance: torch.Tensor) -> torch.Tensor:
        """Return k, elementwise, for the squared distances |v - t|^2."""

    @abstractmethod
    def scales(self, number: int, generator: torch.Generator) -> torch.Tensor:
        """Return (number,) independent draws of s, float64."""
