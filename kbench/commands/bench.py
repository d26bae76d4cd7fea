"""Measure kbench and its baseline alternately in one run.

Each bench prints a table; --json writes {machine, versions, rows: [{name, value, unit, baseline,
ratio}]}, where ratio = value / baseline.

Example:
  kbench bench similarity --json results/bench/similarity.json
  kbench bench estimators --dims 64 --features 256 --run results/demo/runs/RUN --world FOLDER
"""

import argparse
import importlib
import platform
from importlib.metadata import version
from pathlib import Path

from kbench import files, provenance
from kbench.bench import BENCHES

REPORTED = ("torch", "numpy", "open_clip_torch")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add one subcommand a bench."""
    benches = parser.add_subparsers(dest="bench", required=True, metavar="BENCH")
    for name, summary in BENCHES.items():
        module = _module(name)
        bench = benches.add_parser(name, help=summary, description=module.__doc__)
        bench.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file")
        module.configure(bench)


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    rows = _module(arguments.bench).rows(arguments)
    if arguments.json is not None:
        versions = {"kbench": provenance.code_version(), "python": platform.python_version()}
        files.write_json(
            arguments.json,
            {
                "machine": provenance.machine(),
                "versions": versions | {name: version(name) for name in REPORTED},
                "rows": [row.model_dump() for row in rows],
            },
        )


def _module(name: str) -> object:
    return importlib.import_module(f"kbench.bench.{name}")
