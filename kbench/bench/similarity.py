"""Time and memory of the loss, forward and backward, of every similarity.

The baseline of time and memory is the same loss written the obvious way; memory is what the process
takes at most beyond points, weights and their gradients. Whole training steps follow, as in `kbench
bench step`.

Pairwise scores (exact kernels, late interaction) are measured on smaller batches.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from kbench import progress
from kbench.bench import step
from kbench.bench.measure import Row, alternate, in_fresh_process, say
from kbench.memory import peak_bytes, resident_bytes

if TYPE_CHECKING:
    import torch

    from kbench.similarity.base import Similarity


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the bench's arguments."""
    step.configure_times(parser)
    parser.add_argument("--batch", type=int, default=256, help="default %(default)s")
    parser.add_argument(
        "--pairwise-batch", type=int, default=16, help="without features; default %(default)s"
    )
    parser.add_argument("--image-tokens", type=int, default=197, help="default %(default)s")
    parser.add_argument("--text-tokens", type=int, default=77, help="default %(default)s")
    parser.add_argument(
        "--dim", type=int, default=512, help="dimension d of points; default %(default)s"
    )
    parser.add_argument(
        "--features", type=int, default=1024, help="random features D; default %(default)s"
    )
    parser.add_argument(
        "--repeats", type=int, default=5, help="timed calls of each; default %(default)s"
    )
    parser.add_argument("--no-step", action="store_true", help="leave out whole training steps")


def rows(arguments: argparse.Namespace) -> list[Row]:
    """Measure, print the table, return the rows."""
    measured = []
    say(
        f"{'variant':<24}{'estimator':<10}{'batch':>6}{'tokens':>8}{'d':>5}{'D':>6}"
        f"{'time s':>9}{'baseline':>9}{'ratio':>7}{'memory MB':>11}{'baseline':>9}{'ratio':>7}"
    )
    for case in progress.track(list(_cases(arguments)), "similarities", "case"):
        measured += _loss_rows(case, arguments)
    return measured if arguments.no_step else measured + step.time_rows(arguments)


@dataclass(frozen=True)
class LossCase:
    """One similarity with the sets that it is measured on."""

    variant: str
    exact: bool
    batch: int
    tokens: tuple[int, int]
    dim: int
    features: int

    def similarity(self) -> "Similarity":
        """Return the similarity, with the case's number of random features where it uses any."""
        from kbench import similarity

        sized = (
            {"features": self.features}
            if "features" in similarity.get(self.variant).Settings.model_fields
            else {}
        )
        return similarity.create(self.variant, sized)


def _cases(arguments: argparse.Namespace) -> Iterator[LossCase]:
    from kbench import similarity
    from kbench.similarity.base import Similarity

    of_sets = [n for n in similarity.names() if not similarity.get(n).has_likelihoods()]
    for name in arguments.variants or of_sets:
        variant = similarity.create(name)
        tokens = (arguments.image_tokens, arguments.text_tokens) if _takes_tokens(name) else (1, 1)
        size = {"tokens": tokens, "dim": arguments.dim, "features": arguments.features}
        batch, pairwise = arguments.batch, arguments.pairwise_batch
        if type(variant).straightforward is Similarity.straightforward:
            # The baseline is the reference, point by point: that much of it takes seconds, not
            # days.
            size |= {
                "tokens": tuple(
                    min(most, number) for most, number in zip((4, 3), tokens, strict=True)
                )
            }
            size |= {"features": min(64, arguments.features)}
            batch = pairwise = min(4, pairwise)
        if variant.has_features():
            yield LossCase(name, exact=False, batch=batch, **size)
        if variant.uses_random_features or not variant.has_features():
            yield LossCase(name, exact=True, batch=pairwise, **size)


def _takes_tokens(name: str) -> bool:
    import torch

    from kbench import similarity
    from kbench.towers.output import TowerOutput

    output = TowerOutput(torch.ones(1, 3, 2), torch.ones(1, 2), lambda x: x)
    return (
        similarity.create(name, {}, {"image": 2, "text": 2}).embed(output, "image").points.shape[1]
        > 1
    )


def _loss_rows(case: LossCase, arguments: argparse.Namespace) -> list[Row]:
    calls = [
        _gradients(case, arguments.device, straightforward) for straightforward in (False, True)
    ]
    seconds = alternate(*calls, arguments.repeats)
    memory = [
        _peak_memory(case, arguments.device, straightforward) for straightforward in (False, True)
    ]
    label = case.variant + ("-exact" if case.exact else "")
    measured = [
        Row.of(f"similarity/{label}/time", seconds[0], "seconds", seconds[1]),
        Row.of(f"similarity/{label}/memory", memory[0], "bytes", memory[1]),
    ]
    estimator, tokens = "exact" if case.exact else "features", f"{case.tokens[0]}+{case.tokens[1]}"
    say(
        f"{case.variant:<24}{estimator:<10}{case.batch:>6}{tokens:>8}{case.dim:>5}{case.features:>6}"
        f"{seconds[0]:>9.3g}{seconds[1]:>9.3g}{measured[0].ratio:>7.2f}"
        f"{memory[0] / 1e6:>11.1f}{memory[1] / 1e6:>9.1f}{measured[1].ratio:>7.2f}"
    )
    return measured


def _gradients(
    case: LossCase, device: str, straightforward: bool
) -> Callable[[], "tuple[torch.Tensor, ...]"]:
    """Return a function that computes the loss and its gradients with respect to points and
    weights.
    """
    import torch

    from kbench import objective
    from kbench.similarity.sets import PointSet

    similarity, criterion = case.similarity().to(device), objective.create("infonce")
    generator = torch.Generator().manual_seed(0)
    draw = None if case.exact else similarity.draw(case.dim, generator, device=device)
    leaves = [
        torch.randn(case.batch, number, *rest, generator=generator).to(device).requires_grad_()
        for number in case.tokens
        for rest in ((case.dim,), ())
    ]
    score = partial(similarity.straightforward if straightforward else similarity.scores, draw=draw)

    def compute() -> tuple[torch.Tensor, ...]:
        loss = criterion(score(PointSet(*leaves[:2]), PointSet(*leaves[2:])))
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
        if device != "cpu":
            torch.cuda.synchronize()
        return gradients

    return compute


def _peak_memory(case: LossCase, device: str, straightforward: bool) -> int:
    return in_fresh_process(_peak_memory_here, case, device, straightforward)


def _peak_memory_here(case: LossCase, device: str, straightforward: bool) -> int:
    """Return the bytes that the loss and its gradients need at most, without inputs and gradients
    themselves.
    """
    import torch

    small = LossCase(case.variant, case.exact, 2, (1, 1), case.dim, case.features)
    _gradients(small, device, straightforward)()  # libraries take memory at their first call
    compute = _gradients(case, device, straightforward)
    if device == "cpu":
        before, peak = resident_bytes(), peak_bytes
    else:
        torch.cuda.reset_peak_memory_stats()
        before, peak = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated
    computed = compute()
    return max(1, peak() - before - sum(x.nbytes for x in computed if x is not None))
