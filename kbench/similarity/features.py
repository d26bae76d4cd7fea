"""One draw of random features."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kbench.errors import UserError
from kbench.lazily import torch


@dataclass(frozen=True)
class RandomFeatures:
    """One draw of frequencies W (D, d) and phases b (D,); the feature map is sqrt(2 / D) cos(W v +
    b).

    nominal: a number to put in the place of D under the root, for the released linear probe, which
    draws 512 features but scales for 1024.
    """

    frequencies: torch.Tensor
    phases: torch.Tensor
    nominal: int | None = None

    def __post_init__(self) -> None:
        frequencies, phases = tuple(self.frequencies.shape), tuple(self.phases.shape)
        if len(frequencies) != 2 or 0 in frequencies:
            raise UserError(
                f"frequencies have shape {frequencies}; legal: (features, d), both at least 1"
            )
        if phases != frequencies[:1]:
            raise UserError(
                f"phases have shape {phases}, but frequencies {frequencies} ask for"
                f" {frequencies[:1]}"
            )

    @property
    def factor(self) -> float:
        """Return sqrt(2 / D)."""
        return math.sqrt(2 / (self.nominal or len(self.phases)))
