"""Pool the results of one experiment that several machines made, each with seeds of its own.

They must be of the same experiment but for seeds and resources, and of the same configurations,
data and code; otherwise they are refused with the reason. What is there stays as it is.

Example:
  kbench merge here/results/rank there/results/rank/bundle.tar.xz --output pooled/rank
"""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("results", type=Path, nargs="+", help="results folders or bundles")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder to write, called as the experiment; new"
    )


def run(arguments: argparse.Namespace) -> None:
    """Merge, and say what is there now."""
    from kbench.results import merging

    record = merging.merge(arguments.results, arguments.output)
    print(
        f"wrote {arguments.output}: {len(record.runs)} runs, {len(record.variants)} variants,"
        f" seeds {', '.join(map(str, record.seeds))}"
    )
