"""Weighted point sets with a linear and a Gaussian kernel: the paper's main variant."""

from pydantic import Field

from kbench.similarity.kernels.gaussian import Gaussian
from kbench.similarity.sets import WeightedTokens
from kbench.similarity.settings import LARGEST, RELEASED, KernelSettings, WeightSettings
from kbench.similarity.weighted import PAPER, KernelSimilarity


class WpseGaussian(KernelSimilarity):
    """mean_ij w_i u_j [a1 <v_i, t_j> + a2 exp(-|v_i - t_j|^2 / (2 sigma^2))]."""

    name = "wpse-gaussian"
    formula = "mean_ij w_i u_j [a1 <v_i, t_j> + a2 exp(-|v_i - t_j|^2 / (2 sigma^2))]"
    source = PAPER
    licence = "MIT"
    takes = WeightedTokens

    class Settings(KernelSettings, WeightSettings):
        """Parameters."""

        sigma: float = Field(
            0.5, gt=0, le=LARGEST, description=f"width of the Gaussian kernel; {RELEASED}"
        )

    @property
    def kernel(self) -> Gaussian:
        """The Gaussian kernel of width sigma."""
        return Gaussian(self.settings.sigma)
