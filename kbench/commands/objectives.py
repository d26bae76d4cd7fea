"""List the training objectives: name, formula, source, what they need beside logits, the licence of
the source's code, and where those come from that are not kbench's own.

Example:
  kbench objectives
"""

import argparse

from kbench.commands import listing


def configure(parser: argparse.ArgumentParser) -> None:
    """Take no arguments."""


def run(arguments: argparse.Namespace) -> None:
    """Print one objective after the other."""
    from kbench import objective

    for name in objective.names():
        print("\n".join(listing.or_problem(name, _objective)))


def _objective(name: str) -> list[str]:
    from kbench import objective

    declared = objective.get(name)
    where = listing.origin(objective.FAMILY, name)
    heading = f"{name:<24} {declared.formula}   [{declared.source}]"
    return [heading, *where, *listing.terms(declared)]
