"""Random Fourier features without phases."""

from __future__ import annotations

from kbench.lazily import torch
from kbench.similarity.estimators.base import Estimator, cosine_and_sine, half, independent
from kbench.similarity.kernels.base import Kernel


class Paired(Estimator):
    """Half as many independent frequencies, each with its cosine and its sine; the number has to be
    even.
    """

    name = "paired"
    formula = "independent frequencies; cosine and sine of each"
    source = "Sutherland and Schneider 2015, arXiv 1506.02785"

    @classmethod
    def draw(
        cls, kernel: Kernel, number: int, dim: int, generator: torch.Generator, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return frequencies (number, dim) and phases (number,)."""
        return cosine_and_sine(independent(kernel, half(number, cls.name), dim, generator, dtype))
