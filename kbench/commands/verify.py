"""Check that an experiment's results, or a bundle of them, are what they say.

Documents are read strictly and refused where they must not be mixed; then configurations, code and
environments are held against the hashes that name them, weights against the model's card, every
number that is a mean over stored samples against these, and a table.csv beside against the results.
The exit status is 1 if anything is not as it says.

Examples:
  kbench verify results/demo
  kbench verify results/demo/summary/bundle.tar.xz
"""

import argparse
from typing import TYPE_CHECKING

from kbench.commands import options

if TYPE_CHECKING:
    from kbench.trace.verifying import Check

NAMED = 5
"""Problems that are printed of each check."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    options.add_results(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print one line a check and its problems; 1 if there are any."""
    store = options.load_results(arguments)
    from kbench.trace import verifying

    print(f"{store.experiment.name}: {len(store.results)} of {store.expected} results are there")
    made = verifying.checks(store, arguments.results)
    for check in made:
        print("\n".join(_lines(check)))
    for note in store.mixture_notes:
        print(note)
    return int(any(check.problems for check in made))


def _lines(check: "Check") -> list[str]:
    bad = len(check.problems)
    state = "absent" if not check.number else f"{bad} wrong" if bad else "as they say"
    more = [f"    and {bad - NAMED} more"] if bad > NAMED else []
    shown = [f"    {problem}" for problem in check.problems[:NAMED]]
    return [f"  {check.what:<28}{check.number:>8,}  {state}", *shown, *more]
