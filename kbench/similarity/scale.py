"""The multiplier of the scores (an inverse temperature): learned within bounds, or 1."""

from __future__ import annotations

import math

from kbench.errors import UserError
from kbench.lazily import Module, nn, torch

INITIAL = 1 / 0.07
LARGEST = 100.0
LARGEST_LOG = 4.6052
"""Of SLIP's code and that of arXiv 2404.19228, a little more than log 100."""


class LogScale(Module):
    """exp of a learned number: CLIP (Radford et al. 2021, arXiv 2103.00020, section 2.5).

    The number is kept within [0, 4.6052], a multiplier of 1 to 100.003: released code of arXiv
    2404.19228.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.tensor(math.log(INITIAL)))

    def forward(self) -> torch.Tensor:
        """Return the multiplier, a scalar."""
        return self.log.exp()

    def logarithm(self) -> torch.Tensor:
        """Return the multiplier's logarithm, a scalar."""
        return self.log.detach()

    def take_logarithm_(self, logarithm: torch.Tensor) -> None:
        """Set the multiplier to the exp of a number, of whatever size."""
        with torch.no_grad():
            self.log.copy_(logarithm)

    def clamp_(self) -> None:
        """Bring the parameter back within its bounds."""
        with torch.no_grad():
            self.log.clamp_(0.0, LARGEST_LOG)


class PlainScale(Module):
    """The multiplier itself is learned and kept within [1, 100]: released code of arXiv
    2404.19228.
    """

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(INITIAL))

    def forward(self) -> torch.Tensor:
        """Return the multiplier, a scalar."""
        return self.value

    def logarithm(self) -> torch.Tensor:
        """Return the multiplier's logarithm, a scalar."""
        return self.value.detach().log()

    def take_logarithm_(self, logarithm: torch.Tensor) -> None:
        """Set the multiplier to the exp of a number, of whatever size."""
        with torch.no_grad():
            self.value.copy_(logarithm.exp())

    def clamp_(self) -> None:
        """Bring the parameter back within its bounds."""
        with torch.no_grad():
            self.value.clamp_(1.0, LARGEST)


class UnitScale(Module):
    """1, never learned: of scores that stand for PMI as they are, since a power of a density ratio
    is none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("unit", torch.ones(()))

    def forward(self) -> torch.Tensor:
        """Return 1."""
        return self.unit

    def logarithm(self) -> torch.Tensor:
        """Return 0."""
        return self.unit.log()

    def take_logarithm_(self, logarithm: torch.Tensor) -> None:
        """Raise UserError: another model's multiplier has no place here."""
        raise UserError(
            f"the multiplier is 1 in this similarity, but the weights come with"
            f" {float(logarithm.exp()):.4g}"
        )

    def clamp_(self) -> None:
        """Change nothing."""
