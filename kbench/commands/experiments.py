"""List the experiment files of the working directory.

Example: kbench experiments
"""

import argparse

from kbench.errors import UserError
from kbench.experiment import load


def configure(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(arguments: argparse.Namespace) -> None:
    """Print one line an experiment: name, number of runs, description."""
    if not load.names():
        raise UserError(
            f"no experiment files in {load.EXPERIMENTS}: run this from the folder of the Snakefile"
        )
    for name in load.names():
        experiment = load.load(name)
        runs = f"{len(experiment.variants)} variants x {len(experiment.seeds)} seeds"
        print(f"{name:<12} {runs:<24} {experiment.description}")
