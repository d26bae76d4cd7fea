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
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from kbench import files, provenance
from kbench.bench import BENCHES
from kbench.bench.measure import Row

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
    measured: list[Row] = []
    for rows in _batches(arguments):
        measured += rows
        if arguments.json is not None:
            _write(arguments.json, arguments, measured)


def _batches(arguments: argparse.Namespace) -> Iterator[list[Row]]:
    """Yield rows as they are measured: all at once, where the bench does not say otherwise."""
    module = _module(arguments.bench)
    if hasattr(module, "batches"):
        yield from module.batches(arguments)
    else:
        yield module.rows(arguments)


def _write(path: Path, arguments: argparse.Namespace, measured: list[Row]) -> None:
    versions = {"kbench": provenance.code_version(), "python": platform.python_version()}
    files.write_json(
        path,
        {
            "machine": _machine(getattr(arguments, "device", "cpu")),
            "versions": versions | {name: version(name) for name in REPORTED},
            "rows": [row.model_dump() for row in measured],
        },
    )


def _machine(device: str) -> str:
    """Return the processor, and the accelerator where that was measured."""
    cpu = provenance.machine()
    return cpu if device == "cpu" else f"{cpu}, {provenance.device_name(device)}"


def _module(name: str) -> object:
    return importlib.import_module(f"kbench.bench.{name}")
