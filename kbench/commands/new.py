"""Make a folder for experiments of your own: the workflow, its profiles, a similarity variant as an
example and a first experiment that runs.

Works with an installed kbench, outside any checkout; nothing that is there is overwritten.

Example:
  kbench new my-benchmark
"""

import argparse
import shlex
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", type=Path, help="folder to make; must be new, or empty")


def run(arguments: argparse.Namespace) -> None:
    """Make the folder, and say what comes next."""
    from kbench import skeleton

    skeleton.make(arguments.folder)
    print(f"made {arguments.folder}; next:\n")
    print(f"  cd {shlex.quote(str(arguments.folder))}")
    print("  kbench check first")
    print("  snakemake --cores all --config experiment=first")
