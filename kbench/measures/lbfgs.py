"""L-BFGS for several problems at once: each goes its own way, but all are evaluated together.

J. Nocedal and S. Wright, Numerical Optimization, 2006, algorithm 7.4. Steps are accepted by W.
Hager and H. Zhang's approximate Wolfe condition (SIAM J. Optim. 16, 2005) where rounding hides how
much the value falls.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch

MEMORY = 10
"""Number of steps, and of changes of the gradient over them, that are remembered."""

ARMIJO = 1e-4
SHRINK = (0.1, 0.6)
"""Bounds of what a refused step is multiplied by."""

REFUSALS = 10
"""Refused steps in a row after which rounding has the last word."""

CALM = 2
"""Iterations in a row that must find the minimum near."""

Evaluate = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""(points (A, P), which of the problems they are of (A,)) -> values (A,) in float64, gradients (A,
P).
"""


@dataclass
class Minimum:
    """Where each of B problems ended: points (B, P), values, iterations and converged (B,)."""

    points: torch.Tensor
    values: torch.Tensor
    iterations: torch.Tensor
    converged: torch.Tensor


def minimise(
    evaluate: Evaluate,
    start: torch.Tensor,
    tolerance: float,
    most: torch.Tensor,
    noise: float = 1e-14,
) -> Minimum:
    """Minimise B convex functions from `start` (B, P), each in at `most` (B,) iterations.

    A problem has converged when half of gradient . H . gradient, where H is L-BFGS's inverse
    Hessian, says that its value is within `tolerance` times itself of the minimum, in CALM
    iterations in a row. It ends unconverged when no step is accepted any more. `noise` is the
    relative rounding error of a value.
    """
    everything = torch.arange(len(start), device=start.device)
    value, gradient = evaluate(start, everything)
    zeros = torch.zeros_like(everything)
    end = Minimum(start.clone(), value.clone(), zeros.clone(), zeros.bool())
    state = _State(
        problem=everything,
        point=start,
        value=value,
        gradient=gradient,
        direction=-gradient,
        length=start.new_ones(len(start)),
        steps=start.new_zeros(len(start), MEMORY, start.shape[1]),
        changes=start.new_zeros(len(start), MEMORY, start.shape[1]),
        inverses=start.new_zeros(len(start), MEMORY),
        scale=torch.ones_like(value, dtype=start.dtype),
        iterations=zeros.clone(),
        refusals=zeros.clone(),
        calm=zeros.clone(),
    )
    while len(state.problem):
        state.advance(evaluate, tolerance, noise)
        converged = state.calm >= CALM
        ended = converged | (state.iterations >= most[state.problem]) | (state.refusals >= REFUSALS)
        if ended.any():
            which = state.problem[ended]
            end.points[which], end.values[which] = state.point[ended], state.value[ended]
            end.iterations[which], end.converged[which] = state.iterations[ended], converged[ended]
            state = _State(*(getattr(state, field.name)[~ended] for field in fields(state)))
    return end


@dataclass
class _State:
    """Problems still under way, A of them: one row each in every tensor."""

    problem: torch.Tensor
    point: torch.Tensor
    value: torch.Tensor
    gradient: torch.Tensor
    direction: torch.Tensor
    length: torch.Tensor
    steps: torch.Tensor
    changes: torch.Tensor
    inverses: torch.Tensor
    scale: torch.Tensor
    iterations: torch.Tensor
    refusals: torch.Tensor
    calm: torch.Tensor

    def advance(self, evaluate: Evaluate, tolerance: float, noise: float) -> None:
        """Try every problem's step; those whose step is accepted get a new direction, others a
        shorter step.
        """
        step = self.length[:, None] * self.direction
        value, gradient = evaluate(self.point + step, self.problem)
        before, after = _dot(self.gradient, self.direction), _dot(gradient, self.direction)
        falls = value <= self.value + ARMIJO * self.length.double() * before
        blurred = (value <= self.value + noise * self.value.abs()) & (
            after <= (2 * ARMIJO - 1) * before
        )
        good = falls | blurred
        shorter = torch.where(after > 0, before / (before - after), 0.5).clamp(*SHRINK)
        self._remember(good, step, gradient - self.gradient)
        self.point = torch.where(good[:, None], self.point + step, self.point)
        self.gradient = torch.where(good[:, None], gradient, self.gradient)
        self.value = torch.where(good, value, self.value)
        self.iterations += good
        self.refusals = torch.where(good, 0, self.refusals + 1)
        direction = self._newton()
        near = _dot(self.gradient, -direction) / 2 <= tolerance * self.value.abs()
        self.calm = torch.where(good, (self.calm + 1) * near, self.calm)
        self.direction = torch.where(good[:, None], direction, self.direction)
        self.length = torch.where(good, 1.0, self.length * shorter.to(self.length))

    def _remember(self, good: torch.Tensor, step: torch.Tensor, change: torch.Tensor) -> None:
        """Replace the oldest pair of the problems that moved; a pair without curvature counts for
        nothing.
        """
        curvature = _dot(step, change)
        sound = good & (curvature > 1e-12 * (step.norm(dim=1) * change.norm(dim=1)).double())
        for kept, new in ((self.steps, step), (self.changes, change)):
            kept[sound] = torch.cat([kept[sound, 1:], new[sound, None]], dim=1)
        inverse = (1 / curvature[sound]).to(self.inverses)
        self.inverses[sound] = torch.cat([self.inverses[sound, 1:], inverse[:, None]], dim=1)
        self.scale[sound] = (curvature[sound] / _dot(change, change)[sound]).to(self.scale)

    def _newton(self) -> torch.Tensor:
        """Return -H gradient by the two-loop recursion."""
        direction = -self.gradient
        shares = []
        for index in reversed(range(MEMORY)):
            share = self.inverses[:, index] * torch.linalg.vecdot(self.steps[:, index], direction)
            direction = direction - share[:, None] * self.changes[:, index]
            shares.append(share)
        direction = direction * self.scale[:, None]
        for index, share in zip(range(MEMORY), reversed(shares), strict=True):
            other = self.inverses[:, index] * torch.linalg.vecdot(self.changes[:, index], direction)
            direction = direction + (share - other)[:, None] * self.steps[:, index]
        return direction


def _dot(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vecdot(x, y).double()
