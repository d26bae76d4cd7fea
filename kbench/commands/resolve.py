"""Write the frozen configuration of every run of an experiment; files whose content is the same are
left alone.

Example: kbench resolve demo --output results/demo
"""

import argparse
from pathlib import Path

from kbench.experiment import load
from kbench.plan.freeze import freeze


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the experiment and the results folder."""
    parser.add_argument(
        "experiment", help="name of an experiment (`kbench experiments`) or path of its file"
    )
    parser.add_argument("--smoke", action="store_true", help="resolve the shrunken form")
    parser.add_argument("--output", type=Path, required=True, help="results folder")


def run(arguments: argparse.Namespace) -> None:
    """Resolve, write, and print the runs."""
    experiment = load.load(arguments.experiment, smoke=arguments.smoke)
    runs = load.resolve(experiment)
    freeze(experiment, runs, load.search(experiment), arguments.output)
    for config in runs:
        print(arguments.output / "runs" / config.run / "config.json")
