"""Gather every result of an experiment into one tidy table, table.csv and table.json, and print a
summary.

Results of different container images, code, evaluation settings or data are refused, never
averaged. What is missing is listed with the command that makes it.

Example:
  kbench compare results/demo
  kbench compare results/cc12m --fail-on lower
"""

import argparse

from kbench.commands import options
from kbench.results import store


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    options.add_results(parser)
    parser.add_argument(
        "--fail-on",
        choices=("lower", "higher", "inconclusive"),
        help="exit with status 1 if a comparable published number has this verdict",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the table beside the results and print mean and sd over seeds; 1 if asked to fail and a
    verdict does.
    """
    loaded = options.load_results(arguments)
    from kbench.results import along, table
    from kbench.results.text import summary

    frame = table.frame(loaded)
    print(summary(loaded, frame))
    for path in table.write(loaded, frame):
        print(f"wrote {path}")
    if along.write(loaded, loaded.folder / along.FILE):
        print(f"wrote {loaded.folder / along.FILE}")
    return _failed(loaded, arguments.fail_on) if arguments.fail_on else 0


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
