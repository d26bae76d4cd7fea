"""What an estimator is: a way to draw frequencies and phases for a kernel."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch

from kbench.similarity.kernels.base import Kernel


class Estimator(ABC):
    """Draws W (D, d) and b (D,) with E[(2 / D) sum_k cos(W_k v + b_k) cos(W_k t + b_k)] = k(v, t)."""

    name: ClassVar[str]
    formula: ClassVar[str]

    @classmethod
    @abstractmethod
    def draw(
        cls, kernel: Kernel, number: int, dim: int, generator: torch.Generator, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return frequencies (number, dim) and phases (number,) of `dtype`, on the generator's device.

        UserError if the estimator cannot make that number.
        """


def uniform_phases(number: int, generator: torch.Generator, dtype: torch.dtype) -> torch.Tensor:
    """Return (number,) independent phases, uniform on [0, 2 pi)."""
    return 2 * math.pi * torch.rand(number, generator=generator, dtype=dtype)
