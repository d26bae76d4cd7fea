"""What jobs will take that nothing has been measured of: from their operations and an accelerator's
peak, under a stated utilisation. These are estimates, and say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kbench.experiment.schema import Experiment, RunConfig
from kbench.plan.accelerators import Accelerator
from kbench.plan.cost import CostEstimate
from kbench.plan.measured import PARTS

if TYPE_CHECKING:
    from kbench.plan.work import Work


LOGITS = 16
"""Bytes of one of a process's scores: itself, scaled, and its share in two softmaxes."""


@dataclass(frozen=True)
class Speed:
    """An accelerator and the share of its peak that is taken to be reached."""

    accelerator: Accelerator
    utilisation: float

    @property
    def operations(self) -> float:
        """Floating-point operations a second."""
        return self.utilisation * self.accelerator.teraflops * 1e12

    def __str__(self) -> str:
        peak = f"{self.accelerator.teraflops:g} TFLOP/s"
        return f"{self.accelerator.name} at {100 * self.utilisation:g} % of {peak}"


@dataclass(frozen=True)
class Memory:
    """What the largest training needs of each accelerator: bytes, and pairs at a time."""

    similarity: str
    bytes: int
    pairs: int
    fitting: int
    """Pairs at a time that would fit."""


def filled(
    parts: Sequence[CostEstimate],
    experiment: Experiment,
    configs: Sequence[RunConfig],
    speed: Speed,
) -> tuple[list[CostEstimate], Memory | None]:
    """Return the parts with an estimate where nothing was measured, in seconds of one accelerator,
    and what the largest of these trainings needs of its memory; None if no training was estimated.
    """
    from kbench.plan import work

    unknown = {part.similarity for part in parts if _is_missing(part)}
    of = {config.similarity: config for config in configs}
    works = {name: work.of(of[name], experiment.evaluation) for name in sorted(unknown)}
    made = [
        _filled(part, works[part.similarity], speed) if _is_missing(part) else part
        for part in parts
    ]
    trained = [part.similarity for part in parts if _is_missing(part) and part.rule == "pretrain"]
    needs = [_memory(works[name], of[name], experiment, speed) for name in trained]
    return made, max(needs, key=lambda one: one.bytes, default=None)


def _is_missing(part: CostEstimate) -> bool:
    rules = ("pretrain", "features", PARTS)
    return part.rule in rules and part.seconds is None and part.amount is not None


def _filled(part: CostEstimate, made_of: Work, speed: Speed) -> CostEstimate:
    training = part.rule == "pretrain"
    each = made_of.training if training else made_of.image
    size = made_of.disk if training else part.amount * made_of.features
    unit = "a pair" if training else "an image"
    source = f"estimated: {each / 1e9:.3g} GFLOP {unit}, {speed}"
    return replace(part, seconds=each * part.amount / speed.operations, bytes=size, source=source)


def _memory(made_of: Work, config: RunConfig, experiment: Experiment, speed: Speed) -> Memory:
    training = config.training
    share = training.batch_size // experiment.resources.processes
    pairs = min(share, training.micro_batch_size or share)
    logits = LOGITS * share * training.batch_size
    room = speed.accelerator.memory_gb * 1e9 - made_of.memory(0) - logits
    needed = made_of.memory(pairs) + logits
    return Memory(config.similarity, needed, pairs, max(0, int(room // made_of.kept)))
