"""What a device computes against what a CPU does: scores and gradients of every similarity, loss
and gradient of every objective, in single precision and under autocast.

Rows: correctness/similarity/NAME/PRECISION and correctness/objective/NAME/PRECISION, the largest
error over the largest value, of scores (loss) and gradients, against the CPU in double precision;
the baseline is the same error of the CPU in single precision.
"""

import argparse
import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

from kbench import progress
from kbench.bench.measure import Row, say

if TYPE_CHECKING:
    import torch

    from kbench.similarity.base import Similarity
    from kbench.similarity.features import RandomFeatures

BATCH, TOKENS, DIM, FEATURES, TOKEN_IDS = 32, (17, 9), 64, 256, 48
PRECISIONS = ("fp32", "bf16", "fp16")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the bench's arguments."""
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="only these; default: all")
    parser.add_argument("--objectives", nargs="*", metavar="NAME", help="only these; default: all")
    parser.add_argument("--device", default="cpu", help="default %(default)s")
    parser.add_argument(
        "--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), help="default: all"
    )


def rows(arguments: argparse.Namespace) -> list[Row]:
    """Measure, print the table, return the rows."""
    from kbench import objective, similarity

    names = arguments.variants or similarity.names()
    losses = objective.names() if arguments.objectives is None else arguments.objectives
    cases = [("similarity", name, _of_similarity(name)) for name in names]
    cases += [("objective", name, _of_objective(name)) for name in losses]
    measured = []
    say(f"{'':<44}{'error':>10}{'CPU fp32':>10}")
    for kind, name, compute in progress.track(cases, "correctness", "case"):
        exact = compute("cpu", "fp64")
        baseline = _error(compute("cpu", "fp32"), exact)
        for precision in arguments.precision:
            error = _error(compute(arguments.device, precision), exact)
            row = Row.of(f"correctness/{kind}/{name}/{precision}", error, "relative", baseline)
            say(f"{row.name:<44}{error:>10.2g}{baseline:>10.2g}")
            measured.append(row)
    return measured


Compute = Callable[[str, str], "list[torch.Tensor]"]
"""Returns tensors from a device and a precision."""


def _of_similarity(name: str) -> Compute:
    """Return what computes scores and the gradients of their squared mean."""
    import torch

    from kbench import similarity
    from kbench.similarity.sets import PointSet

    generator = torch.Generator().manual_seed(0)
    one = similarity.create(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        one.eval().prepare_decoder(DIM, TOKEN_IDS, TOKENS[1])
    sides = [
        torch.randn(BATCH, number, *rest, generator=generator)
        for number in (TOKENS if similarity.get(name).takes.needs_tokens else (1, 1))
        for rest in ((one.point_dimension(DIM),), ())
    ]
    drawn = one.draw(DIM, generator, number=FEATURES) if one.uses_random_features else None

    def compute(device: str, precision: str) -> "list[torch.Tensor]":
        dtype = torch.float64 if precision == "fp64" else torch.float32
        leaves = [side.to(device, dtype).requires_grad_() for side in sides]
        model, draw = _moved(copy.deepcopy(one), drawn, device, dtype)
        with _autocast(device, precision):
            scores = model.scores(PointSet(*leaves[:2]), PointSet(*leaves[2:]), draw)
        gradients = torch.autograd.grad(scores.square().mean(), leaves, allow_unused=True)
        return [scores, *(gradient for gradient in gradients if gradient is not None)]

    return compute


def _moved(
    model: "Similarity",
    drawn: "RandomFeatures | None",
    device: str,
    dtype: "torch.dtype",
) -> "tuple[Similarity, RandomFeatures | None]":
    from kbench.similarity.features import RandomFeatures

    if drawn is not None:
        tensors = (tensor.to(device, dtype) for tensor in (drawn.frequencies, drawn.phases))
        drawn = RandomFeatures(*tensors, drawn.nominal)
    return model.to(device, dtype), drawn


def _of_objective(name: str) -> Compute:
    """Return what computes the loss of logits and their gradient."""
    import torch

    from kbench import objective

    drawn = torch.randn(BATCH, BATCH, generator=torch.Generator().manual_seed(0))

    def compute(device: str, precision: str) -> "list[torch.Tensor]":
        dtype = torch.float64 if precision == "fp64" else torch.float32
        logits = drawn.to(device, dtype).requires_grad_()
        criterion = objective.create(name).to(device, dtype)
        with _autocast(device, precision):
            loss = criterion(logits)
        return [loss, *torch.autograd.grad(loss, logits)]

    return compute


def _autocast(device: str, precision: str) -> "torch.autocast":
    import torch

    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast(device, dtype or torch.bfloat16, enabled=dtype is not None)


def _error(seen: "list[torch.Tensor]", exact: "list[torch.Tensor]") -> float:
    """Return the largest error of any tensor, over its largest value."""
    errors = [
        (one.detach().cpu().double() - other.detach()).abs().max() / other.detach().abs().max()
        for one, other in zip(seen, exact, strict=True)
    ]
    return float(max(errors))
