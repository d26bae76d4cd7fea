"""List the evaluation datasets: kind, classes, main metric, tasks, and whether they are present.

Example: kbench datasets --data data
"""

import argparse

from kbench import locations
from kbench.benchmark import dataset as benchmark
from kbench.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the folders to look in."""
    locations.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print one line a dataset."""
    where = locations.from_arguments(arguments)
    for dataset in map(benchmark.get, benchmark.names()):
        try:
            presence = f"present at {dataset.root(where)}"
        except UserError:
            presence = "generated" if dataset.location == "world" else "absent"
        classes = f"{dataset.n_classes} classes" if dataset.n_classes else "-"
        tasks = ", ".join(dataset.tasks)
        print(f"{dataset.name:<20} {dataset.kind:<15} {classes:<12} {dataset.main_metric:<25} {tasks:<24} {presence}")
