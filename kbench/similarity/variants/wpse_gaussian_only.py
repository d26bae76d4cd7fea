"""Ablation: weighted point sets with the Gaussian kernel alone."""

from pydantic import Field

from kbench.similarity.settings import LARGEST
from kbench.similarity.variants.wpse_gaussian import WpseGaussian


class WpseGaussianOnly(WpseGaussian):
    """The Gaussian variant without its linear part."""

    name = "wpse-gaussian-only"
    source = "ablation of arXiv 2404.19228v3"
    licence = "MIT"
    remark = (
        "known to train badly: away from a match the kernel is flat, so there is little gradient to"
        " follow"
    )

    class Settings(WpseGaussian.Settings):
        """Parameters."""

        a1: float = Field(
            0,
            ge=0,
            le=LARGEST,
            description="share of the linear kernel; ablation of arXiv 2404.19228v3",
        )
        a2: float = Field(
            1, ge=0, le=LARGEST, description="share of the kernel k; ablation of arXiv 2404.19228v3"
        )
