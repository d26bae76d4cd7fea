"""Random features whose frequencies are orthogonal to each other in blocks of d."""

from __future__ import annotations

from kbench.lazily import torch
from kbench.similarity.estimators.base import Estimator, cosine_and_sine, half
from kbench.similarity.kernels.base import Kernel


class Orthogonal(Estimator):
    """Cosine and sine of orthogonal frequencies, for any mixture of Gaussians; the number has to be
    even.

    Directions are uniform, and orthogonal within a block of d; a length is that of a normal vector
    times a scale of the mixture, and the scales are stratified: one from each of n equally likely
    intervals, in random order. Every single frequency keeps the kernel's spectral law, so the
    estimate stays unbiased.
    """

    name = "orthogonal"
    formula = "frequencies orthogonal in blocks of d, stratified lengths; cosine and sine of each"
    source = "Yu et al. 2016, arXiv 1610.09072; the stratification is kbench's"

    @classmethod
    def draw(
        cls, kernel: Kernel, number: int, dim: int, generator: torch.Generator, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return frequencies (number, dim) and phases (number,)."""
        count = half(number, cls.name)
        lengths = torch.randn(count, dim, generator=generator, dtype=dtype).norm(dim=1)
        lengths = lengths * kernel.scales(_stratified(count, generator)).to(dtype)
        return cosine_and_sine(lengths[:, None] * _directions(count, dim, generator, dtype))


def _stratified(number: int, generator: torch.Generator) -> torch.Tensor:
    within = torch.rand(number, generator=generator, dtype=torch.float64)
    return (torch.randperm(number, generator=generator) + within) / number


def _directions(
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
