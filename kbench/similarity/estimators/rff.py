"""Random Fourier features as published: independent frequencies, one cosine each, with a random phase."""

import torch

from kbench.similarity.estimators.base import Estimator, uniform_phases
from kbench.similarity.kernels.base import Kernel


class RandomFourier(Estimator):
    """Rahimi and Recht 2007, "Random features for large-scale kernel machines", algorithm 1."""

    name = "rff"
    formula = "independent frequencies, one cosine with a uniform phase each"

    @classmethod
    def draw(
        cls, kernel: Kernel, number: int, dim: int, generator: torch.Generator, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return frequencies (number, dim) and phases (number,)."""
        normal = torch.randn(number, dim, generator=generator, dtype=dtype)
        scales = kernel.scales(number, generator).to(dtype)
        return scales[:, None] * normal, uniform_phases(number, generator, dtype)
