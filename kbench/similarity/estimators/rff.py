"""Random Fourier features as published."""

from __future__ import annotations

import math

from kbench.lazily import torch
from kbench.similarity.estimators.base import Estimator, independent
from kbench.similarity.kernels.base import Kernel


class RandomFourier(Estimator):
    """Independent frequencies, each with one cosine and a phase uniform on [0, 2 pi)."""

    name = "rff"
    formula = "independent frequencies; one cosine with a random phase each"
    source = "Rahimi and Recht 2007, 'Random features for large-scale kernel machines', algorithm 1"

    @classmethod
    def draw(
        cls, kernel: Kernel, number: int, dim: int, generator: torch.Generator, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return frequencies (number, dim) and phases (number,)."""
        frequencies = independent(kernel, number, dim, generator, dtype)
        return frequencies, 2 * math.pi * torch.rand(number, generator=generator, dtype=dtype)
