"""Point sets without learned weights, as in the paper's first version."""

from typing import Literal

from pydantic import Field

from kbench.similarity.variants.wpse_gaussian import WpseGaussian


class WpseGaussianUniform(WpseGaussian):
    """The Gaussian variant with every weight 1: the inner product of kernel means of token sets."""

    name = "wpse-gaussian-uniform"
    formula = (
        "mean_ij w_i u_j [a1 <v_i, t_j> + a2 exp(-|v_i - t_j|^2 / (2 sigma^2))], all weights 1"
    )
    source = "arXiv 2404.19228v1; parameters of v3's released code"
    licence = "MIT"

    class Settings(WpseGaussian.Settings):
        """Parameters."""

        activation: Literal["uniform"] = Field(
            "uniform", description="all weights 1; arXiv 2404.19228v1"
        )
