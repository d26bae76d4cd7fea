"""What an estimator is: a way to draw frequencies and phases for a kernel."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

from kbench.errors import UserError
from kbench.lazily import torch
from kbench.similarity.kernels.base import Kernel


class Estimator(ABC):
    """Draws W (D, d) and b (D,) with E[(2 / D) sum_k cos(W_k v + b_k) cos(W_k t + b_k)] = k(v,
    t).
    """

    name: ClassVar[str]
    formula: ClassVar[str]
    source: ClassVar[str]

    @classmethod
    @abstractmethod
    def draw(
        cls, kernel: Kernel, number: int, dim: int, generator: torch.Generator, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return frequencies (number, dim) and phases (number,) of `dtype`, on the generator's
        device.

        UserError if the estimator cannot make that number.
        """


def independent(
    kernel: Kernel, number: int, dim: int, generator: torch.Generator, dtype: torch.dtype
) -> torch.Tensor:
    """Return (number, dim) independent frequencies of the kernel's spectral law."""
    scales = kernel.scales(torch.rand(number, generator=generator, dtype=torch.float64))
    return scales[:, None].to(dtype) * torch.randn(number, dim, generator=generator, dtype=dtype)


def cosine_and_sine(frequencies: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return frequencies (2 n, d) and phases (2 n,) that give the cosine and the sine of each of
    (n, d).

    cos a cos b + sin a sin b = cos(a - b) has no second term for a random phase to average out.
    """
    quarter = frequencies.new_full((len(frequencies),), -math.pi / 2)
    return torch.cat([frequencies, frequencies]), torch.cat([torch.zeros_like(quarter), quarter])


def half(number: int, estimator: str) -> int:
    """Return number / 2; UserError if that is not whole."""
    if number % 2:
        raise UserError(
            f"estimator '{estimator}' makes features in pairs; {number} is odd, legal: even numbers"
        )
    return number // 2
