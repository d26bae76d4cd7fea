"""Whole training steps with every objective; the baseline is InfoNCE with the same similarity,
or with cosine where InfoNCE does not take that one.

Rows: objective/NAME, seconds of a step, with cosine, or with the first similarity that an objective
takes which does not take cosine. Towers, batches and optimiser are the same; steps are taken in
turns.

Example:
  kbench bench objective --towers demo --step-batch 64 --step-repeats 40
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace

from kbench import progress
from kbench.bench.measure import Row, in_turns, say
from kbench.bench.step import StepCase, configure_times

BASELINE = "infonce"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the bench's arguments; its names are those of objectives."""
    configure_times(parser, "objectives")


def batches(arguments: argparse.Namespace) -> Iterator[list[Row]]:
    """Yield the row of each objective as it is measured."""
    from kbench import objective

    chosen = arguments.objectives or [name for name in objective.names() if name != BASELINE]
    for name in progress.track(chosen, "steps", "objective"):
        case = replace(StepCase.of(_similarity(name), arguments), objective=name)
        usual = StepCase.of(_similarity(BASELINE, first=case.contender), arguments)
        both = [case.repeat(), replace(usual, objective=BASELINE).repeat()]
        seconds, baseline = in_turns(both, arguments.step_repeats)
        row = Row.of(f"objective/{name}", seconds, "seconds", baseline)
        say(
            f"{name:<24}{seconds:>9.3g} s  {BASELINE} {baseline:.3g} s  ratio {row.ratio:.3f}"
            f"  ({case.contender})"
        )
        yield [row]


def _similarity(name: str, first: str = "cosine") -> str:
    from kbench import objective, similarity

    taken = objective.get(name)
    names = [first, "cosine", *similarity.names()]
    return next(other for other in names if taken.refuse(similarity.get(other)) is None)
