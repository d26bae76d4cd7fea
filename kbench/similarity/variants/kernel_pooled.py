"""A kernel between pooled embeddings: what the kernel does without any point sets."""

from typing import Literal

from pydantic import Field

from kbench.similarity import kernels
from kbench.similarity.kernels.base import Kernel
from kbench.similarity.sets import Pooled
from kbench.similarity.settings import LARGEST, RELEASED, KernelSettings
from kbench.similarity.weighted import KernelSimilarity


class KernelPooled(KernelSimilarity):
    """a1 <v, t> + a2 k(v, t) of unit pooled embeddings, with any kernel."""

    name = "kernel-pooled"
    formula = "a1 <v, t> + a2 k(v, t), one pooled point of weight 1"
    source = "kbench's control; no publication"
    licence = "kbench's own"
    takes = Pooled

    class Settings(KernelSettings):
        """Parameters."""

        kernel: Literal[*kernels.names()] = Field(
            "gaussian", description=f"the kernel k; {RELEASED}"
        )
        length: float = Field(
            0.5, gt=0, le=LARGEST, description=f"width of k (sigma, c or l); {RELEASED}"
        )

    @property
    def kernel(self) -> Kernel:
        """The kernel k of the chosen width."""
        return kernels.get(self.settings.kernel)(self.settings.length)
