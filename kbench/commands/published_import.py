"""Import published numbers from a document's tables: HTML as LaTeXML writes it (arXiv's HTML pages), or CSV.

A mapping names the tables, rows and columns in kbench's terms; every label of the document must be in it, so that a
moved column is an error. The rows are written to published/SOURCE.csv, which comparisons and reports read.

Example:
  kbench published import 2404.19228v3.html --mapping wpse-paper
"""

import argparse
from pathlib import Path

from kbench.results import importing, published


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", type=Path, help="the document, saved as .html or .csv")
    parser.add_argument("--mapping", required=True, help="a mapping's path, or the name of one that comes with kbench")


def run(arguments: argparse.Namespace) -> None:
    """Write the rows, after checking that they do not contradict those that are known."""
    mapping = importing.read_mapping(arguments.mapping)
    rows = importing.import_rows(arguments.file, mapping)
    path = published.IMPORTED / f"{mapping.source}.csv"
    published.check(rows, replacing=path)
    importing.write_rows(path, rows)
    print(f"wrote {len(rows)} published values to {path}")
