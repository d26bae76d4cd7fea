"""Choose every variant's settings from the trials of a search, and freeze the runs that use them.

Writes tuning.json, which holds all that was tried, and runs/RUN/config.json.

Example: kbench tune results/rank
"""

import argparse
from pathlib import Path

from kbench import files
from kbench.errors import UserError
from kbench.experiment import load
from kbench.experiment.schema import Experiment
from kbench.experiment.tuning import FOLDER, choose
from kbench.plan.freeze import freeze_runs


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the results folder."""
    parser.add_argument(
        "results", type=Path, help="results folder of an experiment whose search is finished"
    )


def run(arguments: argparse.Namespace) -> None:
    """Choose and write; UserError if a trial is missing or the experiment tunes nothing."""
    record = files.read_json(arguments.results / "experiment.json")
    experiment = Experiment.model_validate(record["experiment"])
    if experiment.tuning is None:
        raise UserError(f"experiment '{experiment.name}' has no section `tuning`")
    choice = choose(load.search(experiment), arguments.results / FOLDER, experiment.tuning.rule)
    chosen = {name: variant["chosen"] for name, variant in choice["variants"].items()}
    freeze_runs(load.resolve(experiment, chosen), arguments.results)
    files.write_json(arguments.results / "tuning.json", choice)
    for name, values in chosen.items():
        print(f"{name}: {', '.join(f'{key} {value}' for key, value in values.items())}")
