"""List the published numbers that kbench knows, one line a source and table.

Example:
  kbench published
"""

import argparse
from itertools import groupby

from kbench.results import published


def configure(parser: argparse.ArgumentParser) -> None:
    """The command takes no option."""


def run(arguments: argparse.Namespace) -> None:
    """Print source, corpus, backbone, variants and the number of values."""
    rows = sorted(published.rows(), key=_group)
    for (source, corpus, backbone, table), members in groupby(rows, key=_group):
        print(f"{source:<24} {corpus:<8} {backbone:<16} {_amount(list(members)):<42} {table}")
    for source, pending in published.announced().items():
        print(
            f"{source:<24} {'?':<8} {'?':<16} {'cells not known, ' + published.NOT_IMPORTED:<42}"
            f" {pending.table}"
        )


def _group(row: published.PublishedRow) -> tuple[str, str, str, str]:
    return row.source, row.corpus, row.backbone, row.table


def _amount(rows: list[published.PublishedRow]) -> str:
    values = sum(row.value is not None for row in rows)
    if not values:
        return f"{len(rows)} cells, {published.NOT_IMPORTED}"
    return f"{values} of {len(rows)} values" if values < len(rows) else f"{values} values"
