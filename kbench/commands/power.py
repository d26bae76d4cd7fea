"""Before a run: the smallest difference that an experiment's question can find, and the seeds that
a difference needs.

What trainings and test images vary by is taken from a pilot, the results of any experiment that is
scored alike, or else from what others have published. Found means: four times in five, at 5 % in
the first step of Holm's correction over the comparisons that are asked for.

Example: kbench power cifar10 --pilot results/pilot --difference 2
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from kbench import tasks
from kbench.document.numbers import number
from kbench.errors import UserError
from kbench.experiment.load import load
from kbench.experiment.schema import Experiment

if TYPE_CHECKING:
    from kbench.results.power import Spread

SEEDS = (2, 3, 5, 10, 20)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the experiment, the pilot and the difference."""
    parser.add_argument("experiment", help="name or path of an experiment that has `primary:`")
    parser.add_argument("--pilot", type=Path, metavar="RESULTS", help="finished runs to learn from")
    parser.add_argument(
        "--difference",
        type=float,
        metavar="D",
        help="to be found, in points or nats; default: the experiment's margin",
    )


def run(arguments: argparse.Namespace) -> None:
    """Print the spread, what is found with some numbers of seeds, and how many a difference
    needs.
    """
    from kbench.results import power

    experiment = load(arguments.experiment)
    question = experiment.primary
    if question is None:
        raise UserError(
            f"{experiment.name} names no question; say in its file: primary: {{task: TASK,"
            " reference: VARIANT}"
        )
    pilot, family = arguments.pilot, power.comparisons(experiment)
    spread = power.of_pilot(question, pilot) if pilot else power.assumed(experiment)
    if spread is None:
        seen = f"{pilot} has no variant with two seeds scored by it" if pilot else "nobody has said"
        raise UserError(f"what {question.task} varies by is not known: {seen}; give a --pilot")
    difference = experiment.margin if arguments.difference is None else arguments.difference
    if difference <= 0:
        raise UserError(f"--difference {difference:g}; legal: above 0")
    print("\n".join(_lines(experiment, spread, family, difference)))


def _lines(experiment: Experiment, spread: "Spread", family: int, difference: float) -> list[str]:
    unit = "points" if spread.unit == "fraction" else spread.unit
    scaled = difference / 100 if spread.unit == "fraction" else difference
    trainings = number(spread.trainings**0.5, spread.unit)
    images = "not known" if spread.images is None else number(spread.images**0.5, spread.unit)
    told = [
        f"{experiment.name}: {asked(experiment)}",
        f"  sd          one training {trainings} {unit}, a difference by test images {images}",
        f"  seen in     {spread.source}",
    ]
    planned = len(experiment.seeds)
    for seeds in sorted({*SEEDS, *([planned] if planned > 1 else [])}):
        note = "   planned" if seeds == planned else ""
        least = number(spread.detectable(seeds, family), spread.unit)
        told.append(f"  {seeds:>3} seeds   find {least} {unit}{note}")
    needed = spread.seeds_for(scaled, family)
    answer = (
        f"{needed} seeds" if needed else "no number of seeds: the test images alone vary by more"
    )
    return [*told, f"  {difference:g} {unit} need {answer}"]


def asked(experiment: Experiment) -> str:
    """Return an experiment's question in words, and how many comparisons it takes."""
    from kbench.results import power

    question = experiment.primary
    where = f" on {question.dataset}" if question.dataset else ""
    number_of = power.comparisons(experiment)
    noun = "comparison" if number_of == 1 else "comparisons"
    against = f"against {question.reference}, {number_of} {noun}"
    return f"{tasks.title(question.task)}{where} {against}"
