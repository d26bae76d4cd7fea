"""Ablation: weighted point sets whose weights cannot be negative."""

from typing import Literal

from pydantic import Field

from kbench.similarity.variants.wpse_gaussian import WpseGaussian


class WpseGaussianPositive(WpseGaussian):
    """The Gaussian variant with positive weights."""

    name = "wpse-gaussian-positive"
    source = "ablation of arXiv 2404.19228v3; the form of the activation is kbench's"
    licence = "MIT"

    class Settings(WpseGaussian.Settings):
        """Parameters."""

        activation: Literal["positive"] = Field(
            "positive", description="100 tanh(softplus(x) / 100); kbench's"
        )
