"""Print the published rows of one source.

Example:
  kbench published show slip-readme
"""

import argparse

from kbench.results import published


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("source", help="short name of a source, from `kbench published`")


def run(arguments: argparse.Namespace) -> None:
    """Print the source's title and address, then one line a number."""
    rows = published.of_source(arguments.source)
    about = published.sources().get(arguments.source)
    if about:
        print(f"{about.title}\n{about.url}")
        if about.evaluation:
            print(f"Evaluation: {about.evaluation}")
    for pending in [published.announced()[arguments.source]] if not rows else []:
        print(
            f"{pending.table} has {', '.join(pending.variants)}; its cells are not known:"
            f" {published.NOT_IMPORTED}"
        )
    for row in rows:
        epochs = "epochs not stated" if row.epochs is None else f"{row.epochs:g} epochs"
        where = (
            f"{row.corpus:<8} {row.backbone:<16} {epochs:<18} {row.variant:<14} {row.dataset:<16}"
        )
        note = f"  # {row.note}" if row.note else ""
        print(f"{where} {row.task:<12} {row.metric:<26} {published.value_text(row)}{note}")
