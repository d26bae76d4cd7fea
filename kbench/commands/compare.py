"""Gather every result of an experiment into one tidy table, table.csv and table.json, and print a summary.

Results of different container images, code versions or data are refused, never averaged. What is missing is
listed with the command that makes it.

Example:
  kbench compare results/demo
"""

import argparse
from pathlib import Path

from kbench.results import store


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("results", type=Path, help="results folder of an experiment, results/EXPERIMENT")


def run(arguments: argparse.Namespace) -> None:
    """Write the table beside the results and print mean and sd over seeds by variant and task."""
    loaded = store.load(arguments.results)
    from kbench.results import table
    from kbench.results.text import summary

    frame = table.frame(loaded)
    print(summary(loaded, frame))
    for path in table.write(loaded, frame):
        print(f"wrote {path}")
