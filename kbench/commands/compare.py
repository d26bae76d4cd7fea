"""Gather every result of an experiment into one tidy table, table.csv and table.json, and print a
summary.

Results of different container images, code, evaluation settings or data are refused, never
averaged. What is missing is listed with the command that makes it.

With a second results folder or bundle nothing is written: the main metrics of both are set side by
side, with the verdicts that published numbers get.

Examples:
  kbench compare results/demo
  kbench compare results/cc12m --fail-on lower
  kbench compare results/demo elsewhere/bundle.tar.xz
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from kbench.commands import options
from kbench.results import store

if TYPE_CHECKING:
    from kbench.results.beside import Cell


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    options.add_results(parser)
    parser.add_argument(
        "other", type=Path, nargs="?", help="results or bundle to set beside, instead of writing"
    )
    parser.add_argument(
        "--fail-on",
        choices=("lower", "higher", "inconclusive"),
        help=(
            "exit with status 1 if a comparable number, published or of the other results, has this"
            " verdict"
        ),
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the table beside the results and print mean and sd over seeds; 1 if asked to fail and a
    verdict does.
    """
    loaded = options.load_results(arguments, to_show=arguments.other is not None)
    if arguments.other is not None:
        return _beside(loaded, arguments)
    from kbench.results import along, looks, table
    from kbench.results.text import summary

    frame = table.frame(loaded)
    print(summary(loaded, frame))
    for path in table.write(loaded, frame):
        print(f"wrote {path}")
    if loaded.unpacked is None:
        looks.note(loaded)
    if along.write(loaded, loaded.folder / along.FILE):
        print(f"wrote {loaded.folder / along.FILE}")
    return _failed(loaded, arguments.fail_on) if arguments.fail_on else 0


def _beside(loaded: store.Store, arguments: argparse.Namespace) -> int:
    """Print the cells of two results, and how many have which verdict; 1 if asked to fail and one
    does.
    """
    from collections import Counter

    from kbench.results import beside, pairs
    from kbench.results.text import aligned

    mixed = (arguments.allow_mixed_images, arguments.allow_mixed_code)
    other = store.shown(arguments.other, *mixed)
    margin = loaded.experiment.experiment.get("margin", pairs.MARGIN)
    cells = beside.cells(loaded, other, margin)
    header = ["variant", "dataset", "task, metric", "first", "second", "difference", "verdict"]
    print("\n".join(aligned([header, *map(_row, cells)])))
    counts = Counter(cell.status for cell in cells)
    print(", ".join(f"{number} {status}" for status, number in counts.items()) or "no results")
    return int(arguments.fail_on is not None and counts[arguments.fail_on] > 0)


def _row(cell: "Cell") -> list[str]:
    """Return a cell's texts; the difference is the first's less the second's, with its 95 %
    interval.
    """
    from kbench.document.numbers import number, unit_name

    key, unit, estimate = cell.key, cell.unit, cell.estimate
    task = f"{key.task}, {key.metric}" + (f", {unit_name(unit)}" if unit_name(unit) else "")
    ends = [number(end, unit) for end in (estimate.low, estimate.high)] if estimate else []
    difference = f"{number(estimate.value, unit)} [{', '.join(ends)}]" if estimate else "–"
    status = f"{cell.status}: {'; '.join(cell.reasons)}" if cell.reasons else cell.status
    ours, theirs = (
        f"{number(value, unit)} ({seeds})"
        for value, seeds in zip((cell.ours, cell.theirs), cell.seeds, strict=True)
    )
    variant = key.variant if key.objective == "infonce" else f"{key.variant}, {key.objective}"
    return [variant, key.dataset, task, ours, theirs, difference, status]


def _failed(loaded: store.Store, status: str) -> int:
    """Print the published cells with this verdict and return whether there are any."""
    from kbench.results import published
    from kbench.results.verdicts import verdicts

    failed = [verdict for verdict in verdicts(loaded, published.rows()) if verdict.status == status]
    for verdict in failed:
        row = verdict.row
        print(
            f"{status}: {row.variant} on {row.dataset}, {row.task} {row.metric}:"
            f" {verdict.ours:.4g}, published {published.value_text(row)} ({row.source}); difference"
            f" {verdict.difference:.2g}, "
            + (
                "one seed"
                if verdict.low is None
                else f"95 % interval {verdict.low:.2g} to {verdict.high:.2g}"
            )
        )
    return int(bool(failed))
