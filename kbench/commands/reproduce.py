"""Run an experiment again from its results or a bundle of them, and hold every number against the
first one.

The experiment's file is taken from the results and written into a folder, and the command that runs
it is printed, or run with --go: in a container where the results were made in one. What is there
already is compared: each metric of each run is identical, within a tolerance, different, or not
made yet. The exit status is 1 unless all are identical or within the tolerance.

On the same machine, with the same versions and threads, everything is identical. Elsewhere last
bits differ, which a training makes large: `kbench compare` then says whether both runs agree.

Examples:
  kbench reproduce results/demo/summary --output again --go
  kbench reproduce theirs/bundle.tar.xz --output again --data data
"""

import argparse
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from kbench.commands import options
from kbench.errors import UserError

if TYPE_CHECKING:
    from kbench.trace.reproducing import Again

NAMED = 10
"""Metrics that are printed of those that are not as they were."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    options.add_results(parser)
    parser.add_argument("--output", type=Path, required=True, help="folder to run it in")
    parser.add_argument("--go", action="store_true", help="run it here and now")
    parser.add_argument("--cores", default="all", help="for Snakemake; default: all")
    parser.add_argument("--data", type=Path, help="folder of real data sets, where it needs any")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1e-3,
        help="in the unit of each metric, fractions and nats; default %(default)g",
    )


def run(arguments: argparse.Namespace) -> int:
    """Prepare, run if asked to, and compare what there is."""
    if arguments.tolerance < 0:
        raise UserError(f"--tolerance {arguments.tolerance:g}; legal: at least 0")
    first = options.load_results(arguments)
    from kbench.results import store
    from kbench.trace import reproducing

    words = reproducing.prepare(first, arguments.output, arguments.cores, arguments.data)
    print(reproducing.shown(words), flush=True)
    if arguments.go and not Path("Snakefile").is_file():
        raise UserError("--go needs a Snakefile in this folder: start it in a checkout of kbench")
    if arguments.go:
        status = subprocess.run(reproducing.command(words), check=False).returncode
        if status:
            return status
    made = arguments.output / "results" / first.experiment.name
    if not (made / "experiment.json").is_file():
        return 1
    metrics = reproducing.held(first, store.load(made), arguments.tolerance)
    print("\n".join(_lines(metrics)))
    print(reproducing.counted(metrics))
    right = (reproducing.IDENTICAL, reproducing.WITHIN)
    return int(any(metric.status not in right for metric in metrics))


def _lines(metrics: list["Again"]) -> list[str]:
    """Return a line for each of the first metrics that were made and are not as they were."""
    from kbench.trace.reproducing import ABSENT, IDENTICAL

    moved = [metric for metric in metrics if metric.status not in (IDENTICAL, ABSENT)]
    more = [f"  and {len(moved) - NAMED} more"] if len(moved) > NAMED else []
    shown = [
        f"  {m.status}: {m.run}, {m.dataset}, {m.task} {m.metric}: {m.first} before, {m.again} now"
        for m in moved[:NAMED]
    ]
    return [*shown, *more]
