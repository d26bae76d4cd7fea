"""Weighted means over a point set of its points and of their random features, with a backward of
their own.
"""

from collections.abc import Iterator
from itertools import zip_longest

import torch
from torch.autograd.function import FunctionCtx, once_differentiable

from kbench.similarity.features import RandomFeatures
from kbench.similarity.sets import EPSILON

# How many angles W v + b are made at a time: 8 MiB of them in float32, which a processor's cache
# holds and which keep an accelerator busy. And how many may stay from forward to backward instead
# of being computed again.
ANGLES_AT_A_TIME = 1 << 21
ANGLES_KEPT = 1 << 24


def weighted_means(
    points: torch.Tensor, weights: torch.Tensor, draw: RandomFeatures
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean_i w_i v_i (B, d) and mean_i w_i phi(v_i) (B, D), v the points (B, M, d) brought
    to norm 1.

    weights: (B, M). Gradients reach points and weights, not the draw. The features phi of all
    tokens never exist at the same time, neither forward nor backward, where most of them are
    computed again.
    """
    frequencies, phases = (x.to(points.dtype) for x in (draw.frequencies, draw.phases))
    linear, cosines = _WeightedSums.apply(points, weights, frequencies, phases)
    tokens = points.shape[1]
    return linear / tokens, cosines * (draw.factor / tokens)


class _WeightedSums(torch.autograd.Function):
    """sum_i w_i v_i (B, d) and sum_i w_i cos(W v_i + b) (B, D), with v_i = points_i /
    max(|points_i|, epsilon).
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        points: torch.Tensor,
        weights: torch.Tensor,
        frequencies: torch.Tensor,
        phases: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        linear = points.new_empty(len(points), points.shape[2])
        cosines = points.new_empty(len(points), len(phases))
        kept, room = [], ANGLES_KEPT if any(ctx.needs_input_grad) else 0
        for part in _parts(points, phases):
            weight, (unit, _) = weights[part].unsqueeze(1), _normalise(points[part])
            angle = _angles(unit, frequencies, phases)
            torch.bmm(weight, unit, out=linear[part].unsqueeze(1))
            torch.bmm(weight, angle.cos(), out=cosines[part].unsqueeze(1))
            room -= angle.numel()
            if room >= 0:
                kept.append(angle)
        ctx.save_for_backward(points, weights, frequencies, phases, *kept)
        return linear, cosines

    @staticmethod
    @once_differentiable
    def backward(
        ctx: FunctionCtx, of_linear: torch.Tensor, of_cosines: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        points, weights, frequencies, phases, *kept = ctx.saved_tensors
        of_points = torch.empty(points.shape, dtype=points.dtype, device=points.device)
        of_weights = torch.empty_like(weights) if ctx.needs_input_grad[1] else None
        # backward() may be called where autocast is on; this is the gradient of a computation where
        # it was off.
        with torch.autocast(points.device.type, enabled=False):
            for part, angle in zip_longest(_parts(points, phases), kept):
                unit, norm = _normalise(points[part])
                angle = _angles(unit, frequencies, phases) if angle is None else angle
                linear, cosine = of_linear[part], of_cosines[part]
                if of_weights is not None:
                    inner = torch.bmm(unit, linear.unsqueeze(2)) + torch.bmm(
                        angle.cos(), cosine.unsqueeze(2)
                    )
                    of_weights[part] = inner.squeeze(2)
                of_unit = linear.unsqueeze(1) - angle.sin().mul_(cosine.unsqueeze(1)) @ frequencies
                of_unit *= weights[part].unsqueeze(2)
                of_points[part] = _normalise_backward(of_unit, unit, norm)
        return of_points, of_weights, None, None


def _parts(points: torch.Tensor, phases: torch.Tensor) -> Iterator[slice]:
    """Yield slices of a few samples each."""
    size = max(1, ANGLES_AT_A_TIME // (points.shape[1] * len(phases)))
    for start in range(0, len(points), size):
        yield slice(start, start + size)


def _angles(unit: torch.Tensor, frequencies: torch.Tensor, phases: torch.Tensor) -> torch.Tensor:
    samples, tokens, dim = unit.shape
    return torch.addmm(phases, unit.view(-1, dim), frequencies.T).view(samples, tokens, -1)


def _normalise(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    norm = torch.linalg.vector_norm(points, dim=-1, keepdim=True)
    return (points / norm.clamp(min=EPSILON)).contiguous(), norm


def _normalise_backward(
    of_unit: torch.Tensor, unit: torch.Tensor, norm: torch.Tensor
) -> torch.Tensor:
    """Return the gradient of points: that of points / |points| is orthogonal to them, unless
    epsilon took over.
    """
    along = (unit * of_unit).sum(-1, keepdim=True).masked_fill_(norm < EPSILON, 0)
    return (of_unit - unit * along).div_(norm.clamp(min=EPSILON))
