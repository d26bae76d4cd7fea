"""Weighted point sets with a linear and a Laplace kernel. In workflow/variants/ it is a variant."""

from pydantic import Field

from kbench.similarity.kernels.laplace import Laplace
from kbench.similarity.sets import WeightedTokens
from kbench.similarity.settings import KernelSettings, WeightSettings
from kbench.similarity.weighted import KernelSimilarity


class WpseLaplace(KernelSimilarity):
    """mean_ij w_i u_j [a1 <v_i, t_j> + a2 exp(-|v_i - t_j| / length)]."""

    name = "wpse-laplace"
    formula = "mean_ij w_i u_j [a1 <v_i, t_j> + a2 exp(-|v_i - t_j| / length)]"
    source = "an example; no publication"
    takes = WeightedTokens

    class Settings(KernelSettings, WeightSettings):
        """Parameters."""

        length: float = Field(
            1.0, gt=0, description="width of the Laplace kernel; an example's choice"
        )

    @property
    def kernel(self) -> Laplace:
        """The Laplace kernel of that width."""
        return Laplace(self.settings.length)
