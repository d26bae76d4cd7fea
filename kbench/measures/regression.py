"""Multinomial logistic regression, several regularisation strengths at a time.

What is minimised. scikit-learn's objective, for each inverse strength C

    f(W, b) = C sum_i s_i log(1 + sum_(k != y_i) exp(m_ik)) + |W|^2 / 2,    m_ik = score_k - score_y

over weights W (K, F) and a bias b (K,) that is not penalised; s_i are importances. With two classes
it is the binary loss, whose one weight vector w is the difference of the two here. f is convex, and
strictly so in W and in b up to a constant; both are kept centred over classes, so that there is one
minimum.

Which steps. L-BFGS (`lbfgs`) in variables z with theta = start + L^-T z, where L L^T are the
diagonal blocks, one for each class, of the Hessian at the start (`preconditioner`): in z the
Hessian is near to the identity. Features have their mean taken out, which decouples weights and
bias. After STAGE iterations a new stage begins where the last one ended, with blocks made there.
All strengths go on together, one pass over the samples for all (`passes`); each begins between the
nearest fits made before, linear in log C, because the minimum moves smoothly with C.

Why float64. A first stretch in float32 is cheaper and ends at a relative excess of 1e-7: values are
off by 1e-9 there, so that a smaller fall of f cannot be told from rounding. That decides most
predictions; those whose two highest scores nearly tie, and with them which C is best, are decided
only in float64, which goes on from there.

When it stops. The relative excess of f is estimated by half the Newton decrement, g^T H g / 2, H
L-BFGS's inverse Hessian; a fit has converged when that is at most `tolerance` times f in two
iterations in a row. It has not when `max_iterations` or rounding end it first, and says so.

What is guaranteed. f falls, up to rounding, at every accepted step; the excess is an estimate and
no bound. tests/evaluate/test_regression.py compares the ends with scikit-learn's at
tolerance 1e-9 for drawn classes, widths, scales, offsets and C.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from kbench.measures import lbfgs
from kbench.measures.labelled_features import Features
from kbench.measures.passes import Samples, chunk_rows
from kbench.measures.preconditioner import Precision, inverse_factors

TOLERANCE = 1e-13
"""Estimated relative excess of the objective at which a fit has converged."""

STAGE = 50
"""Iterations after which the preconditioner is made anew."""


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
        rows = chunk_rows(max(samples.width, len(self.classes)))
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
        self.samples = Samples(parts, balanced, device)
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
        to_weights = inverse_factors(
            self.samples, start, loss_weights, self.penalty, precision, rough
        )

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
        centred = torch.cat(
            [fit.weights, (fit.bias + fit.weights @ self.samples.mean)[:, None]], dim=1
        )
        theta = centred.new_zeros(len(self.samples.classes), centred.shape[1])
        theta[np.searchsorted(self.samples.classes, fit.classes)] = centred
        return theta
