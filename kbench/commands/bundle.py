"""Put all that a report reads of an experiment into one file, which outlives the runs.

`kbench report` renders it, anywhere, without weights and features. Equal results make equal bytes.

Example:
  kbench bundle results/demo
"""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("results", type=Path, help="results folder of an experiment")
    parser.add_argument(
        "--output", type=Path, help="file to write; default: bundle.tar.xz in the results folder"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the bundle and say where it is and how large."""
    from kbench.results import bundle

    path = arguments.output or arguments.results / bundle.NAME
    bundle.write(arguments.results, path)
    print(f"wrote {path} ({path.stat().st_size:,} bytes)")
