"""Random features whose frequencies are orthogonal to each other in blocks of d."""

import torch

from kbench.similarity.estimators.base import Estimator, uniform_phases
from kbench.similarity.kernels.base import Kernel


class Orthogonal(Estimator):
    """Yu et al. 2016, "Orthogonal random features" (arXiv 1610.09072), for any mixture of Gaussians.

    Directions are uniform and orthogonal within a block of d; lengths are those of independent frequencies,
    so every single frequency has the same law as without the orthogonality and the estimate stays unbiased.
    """

    name = "orthogonal"
    formula = "frequencies orthogonal in blocks of d, one cosine with a uniform phase each"

    @classmethod
    def draw(
        cls, kernel: Kernel, number: int, dim: int, generator: torch.Generator, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return frequencies (number, dim) and phases (number,)."""
        lengths = torch.randn(number, dim, generator=generator, dtype=dtype).norm(dim=1)
        lengths = lengths * kernel.scales(number, generator).to(dtype)
        frequencies = lengths[:, None] * orthogonal_directions(number, dim, generator, dtype)
        return frequencies, uniform_phases(number, generator, dtype)


def orthogonal_directions(
    number: int, dim: int, generator: torch.Generator, dtype: torch.dtype
) -> torch.Tensor:
    """Return (number, dim) unit vectors, uniform, orthogonal within each block of `dim` rows.

    The Q of a normal matrix is Haar distributed once the signs of R's diagonal are moved into it
    (Mezzadri 2007, arXiv math-ph/0609050).
    """
    blocks = []
    for _ in range(0, number, dim):
        q, r = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=dtype))
        blocks.append(q * r.diagonal().sign())
    return torch.cat(blocks)[:number]
