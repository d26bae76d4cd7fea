"""Multinomial logistic regression, several regularisation strengths at a time, from features in
chunks.

The objective is scikit-learn's: C sum_i s_i loss_i + |W|^2 / 2 with an unpenalised bias; with two
classes the binary loss, whose one weight vector w is the difference of the two here.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from kbench.errors import UserError
from kbench.measures import lbfgs
from kbench.measures.labelled_features import Features

RESIDENT_BYTES = 2 << 30
"""Features that take no more than this as float32 are kept in memory; larger ones are read anew at
every pass.
"""

CHUNK_NUMBERS = 1 << 20
"""Numbers in the largest array of a chunk: few enough to stay near the processor."""

CHUNK_ROWS = 512
"""Rows of a chunk at least, below which a matrix product is not worth its start."""

TOLERANCE = 1e-13
"""Estimated relative excess of the objective at which a fit has converged."""

STAGE = 50
"""Iterations after which the preconditioner is made anew."""

BLOCK_NUMBERS = 1 << 20
"""Numbers in a preconditioner with a block for each class; where it would be larger, classes share
one block.
"""


class Precision(NamedTuple):
    """What is computed in: the relative rounding error of an objective, and of a preconditioner's
    entries.

    tolerance: what a fit in this precision can be expected to reach.
    """

    dtype: torch.dtype
    noise: float
    ridge: float
    tolerance: float


PRECISIONS = (
    Precision(torch.float32, 1e-9, 1e-6, 1e-7),
    Precision(torch.float64, 1e-14, 1e-10, 0.0),
)
"""Taken in turn: float64 only goes on from where float32 has got."""


@dataclass(frozen=True)
class Fit:
    """The model at one C: weights (K, F) and bias (K,) of the K classes, float64, and how the
    solver ended.
    """

    C: float
    classes: np.ndarray
    weights: torch.Tensor
    bias: torch.Tensor
    objective: float
    iterations: int
    converged: bool

    def predict(self, samples: Features) -> np.ndarray:
        """Return the label (N,) of highest score; the first of equals."""
        return self.predict_with_lead(samples)[0]

    def predict_with_lead(self, samples: Features) -> tuple[np.ndarray, np.ndarray]:
        """Return the label (N,) of highest score, and by how much it leads the second highest
        (N,).
        """
        rows = _chunk_rows(max(samples.width, len(self.classes)))
        labels, leads = [], []
        for x in samples.chunks(rows):
            scores = (
                torch.as_tensor(x, device=self.bias.device).double() @ self.weights.T + self.bias
            )
            labels.append(scores.argmax(dim=1).cpu())
            first, second = scores.topk(2, dim=1).values.T
            leads.append((first - second).cpu())
        return self.classes[torch.cat(labels).numpy()], torch.cat(leads).numpy()


class Regression:
    """Fits on the samples of one or several splits together; every fit starts from the nearest ones
    made before.

    balanced: the classes' importances have equal sums, scikit-learn's class_weight='balanced'.
    UserError where the splits differ in width or there are fewer than two classes.
    """

    def __init__(
        self,
        parts: Sequence[Features],
        balanced: bool = False,
        max_iterations: int = 1000,
        device: str = "cpu",
    ) -> None:
        self.max_iterations, self.device = max_iterations, device
        self.samples = _Samples(parts, balanced, device)
        # The bias is one more weight, of a feature that is 1; it alone is not penalised.
        self.penalty = torch.ones(self.samples.width + 1, dtype=torch.float64, device=device)
        self.penalty[-1] = 0
        self.fits: dict[float, Fit] = {}

    def fit(
        self, strengths: Sequence[float], start: Fit | None = None, tolerance: float = TOLERANCE
    ) -> list[Fit]:
        """Return the fits at inverse regularisation strengths C, made together; `start`: begin
        there instead.

        `tolerance`: the estimated relative excess of the objective at which a fit has converged.
        Where all have been made before, with a larger tolerance, each only goes on; `iterations`
        counts those of both.
        """
        classes = self.samples.classes
        theta = torch.stack(
            [self._start(C) if start is None else self._centred(start) for C in strengths]
        )
        # Of the symmetric weight vectors w/2 and -w/2 of two classes the penalty is half that of w.
        halves = 2 if len(classes) == 2 else 1
        loss_weights = torch.as_tensor(strengths, dtype=torch.float64, device=self.device) / halves
        again = start is None and self.fits.keys() >= set(strengths)
        before = [
            (self.fits[C].objective / halves, self.fits[C].iterations) if again else (0.0, 0)
            for C in strengths
        ]
        values = torch.tensor(
            [value for value, _ in before], dtype=torch.float64, device=self.device
        )
        iterations = torch.tensor([steps for _, steps in before], device=self.device)
        converged = torch.zeros_like(iterations, dtype=torch.bool)
        for precision in PRECISIONS[again:]:
            goal = max(tolerance, precision.tolerance)
            left = ~converged & (iterations < self.max_iterations)
            while left.any():
                most = (self.max_iterations - iterations[left]).clamp(max=STAGE)
                rough = not again and not iterations[left].any()
                end = self._stage(theta[left], loss_weights[left], most, precision, goal, rough)
                theta[left], values[left] = end.points.view_as(theta[left]), end.values
                iterations[left] += end.iterations
                converged[left] = end.converged
                left[left.clone()] = (
                    ~end.converged
                    & (end.iterations == most)
                    & (iterations[left] < self.max_iterations)
                )
            converged &= goal <= tolerance
        made = [
            Fit(
                C=float(C),
                classes=classes,
                weights=at[:, :-1],
                bias=at[:, -1] - at[:, :-1] @ self.samples.mean,
                objective=halves * float(value),
                iterations=int(steps),
                converged=bool(done),
            )
            for C, at, value, steps, done in zip(
                strengths, theta, values, iterations, converged, strict=True
            )
        ]
        self.fits.update({fit.C: fit for fit in made})
        return made

    def _stage(
        self,
        theta: torch.Tensor,
        loss_weights: torch.Tensor,
        most: torch.Tensor,
        precision: Precision,
        tolerance: float,
        rough: bool,
    ) -> lbfgs.Minimum:
        """Go on from theta (B, K, F + 1), bias last, in variables in which the Hessian is near to
        the identity.
        """
        start = theta.to(precision.dtype)
        to_weights = self._preconditioner(start, loss_weights, precision, rough)

        def grouped(values: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
            return values.view(len(which), to_weights.shape[1], -1, theta.shape[2])

        def move(points: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
            steps = (grouped(points, which) @ to_weights[which]).view(len(which), *theta.shape[1:])
            # What is the same for all classes changes no score, only the penalty.
            return steps - steps.mean(1, keepdim=True)

        def evaluate(
            points: torch.Tensor, which: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            value, gradient = self.objective(
                start[which] + move(points, which), loss_weights[which]
            )
            gradient = (gradient - gradient.mean(1, keepdim=True)).to(precision.dtype)
            return value, (grouped(gradient, which) @ to_weights[which].mT).flatten(1)

        end = lbfgs.minimise(
            evaluate, torch.zeros_like(start).flatten(1), tolerance, most, precision.noise
        )
        moved = theta + move(end.points, torch.arange(len(theta), device=self.device))
        return lbfgs.Minimum(moved.flatten(1), end.values, end.iterations, end.converged)

    def _preconditioner(
        self, theta: torch.Tensor, loss_weights: torch.Tensor, precision: Precision, rough: bool
    ) -> torch.Tensor:
        """Return inverse Cholesky factors (B, K or 1, F + 1, F + 1) of the Hessian's diagonal
        blocks at theta.

        The block of class k is the penalty + C sum_i s_i p_ik (1 - p_ik) x_i x_i', x_i ending in 1.
        Shared by all classes, it has the mean of p_ik (1 - p_ik). `rough`: the sums of all models
        are taken to differ by a factor, which saves most of the work, and is so where all start
        from the classes' shares.
        """
        models, classes, size = theta.shape
        groups = classes if classes * size**2 <= BLOCK_NUMBERS else 1
        blocks = theta.new_zeros(1 if rough else models, groups, size, size, dtype=torch.float64)
        totals = blocks.new_zeros(models, groups)
        for x, _, importance in self.samples.chunks(models * classes, precision.dtype):
            extended = torch.cat([x, x.new_ones(len(x), 1)], dim=1)
            p = (theta.flatten(0, 1) @ extended.T).view(models, classes, -1).softmax(1)
            spread = (p * (1 - p) * importance).view(models, groups, -1, len(x)).mean(2)
            totals += spread.sum(2, dtype=torch.float64)
            if rough:
                spread = spread.mean(0, keepdim=True)
            for block, weights in zip(blocks.flatten(0, 1), spread.flatten(0, 1), strict=True):
                block += (extended.T * weights) @ extended
        if rough:
            blocks = blocks * (totals / totals.mean(0))[..., None, None]
        blocks = blocks * loss_weights[:, None, None, None] + torch.diag(self.penalty)
        largest = blocks.diagonal(dim1=-2, dim2=-1).amax(-1)
        identity = torch.eye(size, dtype=torch.float64, device=self.device)
        factors = torch.linalg.cholesky(
            blocks + precision.ridge * largest[..., None, None] * identity
        )
        return torch.linalg.solve_triangular(factors, identity.expand_as(factors), upper=False).to(
            precision.dtype
        )

    def objective(
        self, theta: torch.Tensor, loss_weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return values (B,) and gradients (B, K, F + 1), float64, of B models theta in one pass
        over the samples.

        Losses and residuals are computed from the margins to the right class, which keeps their
        relative precision where a model is sure of it: log(1 + e) and not log of something near 1.
        """
        models, classes, dtype = len(theta), len(self.samples.classes), theta.dtype
        weights = theta[:, :, :-1].flatten(0, 1)
        bias = theta[:, :, -1].reshape(-1, 1)
        loss, gradient = (
            torch.zeros_like(loss_weights),
            torch.zeros_like(weights, dtype=torch.float64),
        )
        bias_gradient = torch.zeros_like(bias, dtype=torch.float64)
        for x, targets, importance in self.samples.chunks(models * classes, dtype):
            margins = torch.addmm(bias, weights, x.T).view(models, classes, len(x))
            right = targets.expand(models, 1, len(x))
            margins -= margins.gather(1, right)
            top = margins.amax(1, keepdim=True)
            odds = margins.sub_(top).exp_().scatter_(1, right, 0)
            wrong = odds.sum(1, keepdim=True)
            rest = wrong + torch.expm1(-top)
            loss += ((top + torch.log1p(rest)) * importance).sum((1, 2), dtype=torch.float64)
            share = importance / (1 + rest)
            residuals = odds.mul_(share).scatter_(1, right, -wrong * share).flatten(0, 1)
            gradient += residuals @ x
            bias_gradient += residuals.sum(1, keepdim=True, dtype=torch.float64)
        total = (
            torch.cat([gradient, bias_gradient], dim=1).view(theta.shape)
            * loss_weights[:, None, None]
        )
        penalised = theta * self.penalty
        return loss_weights * loss + penalised.square().sum((1, 2)) / 2, total + penalised

    def _start(self, C: float) -> torch.Tensor:
        """Return where to begin: between the nearest fits in log C, or at the classes' shares where
        there are none.
        """
        below = max((c for c in self.fits if c <= C), default=None)
        above = min((c for c in self.fits if c >= C), default=None)
        if below is None and above is None:
            theta = self.penalty.new_zeros(len(self.samples.classes), len(self.penalty))
            theta[:, -1] = self.samples.shares.log() - self.samples.shares.log().mean()
            return theta
        if below is None or above is None or below == above:
            return self._centred(self.fits[below if above is None else above])
        share = math.log(C / below) / math.log(above / below)
        return torch.lerp(self._centred(self.fits[below]), self._centred(self.fits[above]), share)

    def _centred(self, fit: Fit) -> torch.Tensor:
        """Return a fit's variables here; classes that it never saw, as a validation split may add,
        begin at 0.
        """
        found = torch.cat(
            [fit.weights, (fit.bias + fit.weights @ self.samples.mean)[:, None]], dim=1
        )
        theta = found.new_zeros(len(self.samples.classes), found.shape[1])
        theta[np.searchsorted(self.samples.classes, fit.classes)] = found
        return theta


class _Samples:
    """What a pass over the samples reads: centred features, class indices and importances, in
    chunks.
    """

    def __init__(self, parts: Sequence[Features], balanced: bool, device: str) -> None:
        if len({part.width for part in parts}) > 1:
            raise UserError(
                "splits have different numbers of features:"
                f" {', '.join(str(p.width) for p in parts)}"
            )
        self.parts, self.device = parts, device
        self.classes, targets = np.unique(
            np.concatenate([part.labels for part in parts]), return_inverse=True
        )
        if len(self.classes) < 2:
            raise UserError(
                f"the linear probe needs at least two classes; found {self.classes.tolist()}"
            )
        counts = np.bincount(targets)
        importance = (
            (len(targets) / (len(counts) * counts))[targets] if balanced else np.ones(len(targets))
        )
        self.targets = torch.as_tensor(targets, device=device)
        self.weights = torch.as_tensor(importance, dtype=torch.float32, device=device)
        self.shares = torch.zeros(len(counts), dtype=torch.float64, device=device).index_add_(
            0, self.targets, self.weights.double()
        ) / len(targets)
        self.width, self.resident = parts[0].width, None
        self.mean = torch.zeros(self.width, dtype=torch.float64, device=device)
        total = sum(
            x.double().T @ weight.double() for x, _, weight in self.chunks(1, torch.float32)
        )
        self.mean = total / self.weights.sum(dtype=torch.float64)
        if 4 * len(targets) * self.width <= RESIDENT_BYTES:
            self.resident = torch.cat([x for x, _, _ in self.chunks(1, torch.float32)])

    def chunks(
        self, columns: int, dtype: torch.dtype
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Yield features (n, F), class indices (n,) and importances (n,); n suits arrays of (n,
        columns) numbers.
        """
        rows, start = _chunk_rows(max(columns, self.width)), 0
        for x in self._raw(rows):
            part = slice(start, start + len(x))
            yield x.to(dtype), self.targets[part], self.weights[part].to(dtype)
            start += len(x)

    def _raw(self, rows: int) -> Iterator[torch.Tensor]:
        if self.resident is not None:
            yield from self.resident.split(rows)
            return
        for part in self.parts:
            for x in part.chunks(rows):
                yield (torch.as_tensor(x, device=self.device).double() - self.mean).float()


def _chunk_rows(columns: int) -> int:
    return max(CHUNK_ROWS, CHUNK_NUMBERS // columns)
