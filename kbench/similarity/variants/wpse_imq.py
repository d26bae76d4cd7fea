"""Weighted point sets with a linear and an inverse multiquadric kernel."""

from pydantic import Field

from kbench.similarity.kernels.imq import InverseMultiquadric
from kbench.similarity.sets import WeightedTokens
from kbench.similarity.settings import ASSUMED, LARGEST, RELEASED, KernelSettings, WeightSettings
from kbench.similarity.weighted import PAPER, KernelSimilarity


class WpseImq(KernelSimilarity):
    """mean_ij w_i u_j [a1 <v_i, t_j> + a2 c / sqrt(c^2 + |v_i - t_j|^2)]."""

    name = "wpse-imq"
    formula = "mean_ij w_i u_j [a1 <v_i, t_j> + a2 c / sqrt(c^2 + |v_i - t_j|^2)]"
    source = PAPER
    licence = "MIT"
    takes = WeightedTokens

    class Settings(KernelSettings, WeightSettings):
        """Parameters."""

        a1: float = Field(
            0.667,
            ge=0,
            le=LARGEST,
            description=f"share of the linear kernel; {ASSUMED}, the Gaussian's",
        )
        a2: float = Field(
            0.333, ge=0, le=LARGEST, description=f"share of the kernel; {ASSUMED}, the Gaussian's"
        )
        c: float = Field(0.5, gt=0, le=LARGEST, description=f"width of the kernel; {RELEASED}")

    @property
    def kernel(self) -> InverseMultiquadric:
        """The inverse multiquadric kernel of width c."""
        return InverseMultiquadric(self.settings.c)
