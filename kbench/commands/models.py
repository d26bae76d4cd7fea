"""List the imported models: name, architecture, similarity, declared training data, source.

Example:
  kbench models
"""

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Take no arguments."""


def run(arguments: argparse.Namespace) -> None:
    """Print one model a line."""
    from kbench.commands import listing
    from kbench.experiment.load import imported
    from kbench.models import library

    def line(name: str) -> list[str]:
        origin, config = library.origin(name), imported(name)
        return [
            f"{name:<24} {config.towers.backbone or '':<16} {config.similarity:<12}"
            f" {config.corpus_name}   [{origin.source}]"
        ]

    names = library.names()
    for name in names:
        print("\n".join(listing.or_problem(name, line)))
    if not names:
        print("no model has been imported: see `kbench model import --help`")
