"""Import published numbers from a document's tables: HTML as LaTeXML writes it (arXiv's HTML
pages), or CSV.

A mapping names the tables, rows and columns in kbench's terms; every label of the document must be
in it, so that a moved column is an error. The rows are written to published/SOURCE.csv, which
comparisons and reports read.

An address is fetched to published/documents/SOURCE.html; its hash and the address are recorded with
every row.

Example:
  kbench published import 2404.19228v3.html --mapping wpse-paper
  kbench published import https://arxiv.org/html/2404.19228v3 --mapping wpse-paper
"""

import argparse
from pathlib import Path

from kbench.results import download, importing, published


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "document",
        help="the document: a file saved as .html or .csv, or an address to fetch it from",
    )
    parser.add_argument(
        "--mapping",
        required=True,
        help="a mapping's path, or the name of one that comes with kbench",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the rows, after checking that they do not contradict those that are known."""
    mapping = importing.read_mapping(arguments.mapping)
    document, origin = Path(arguments.document), None
    if download.is_address(arguments.document):
        origin = arguments.document
        document = download.fetch(origin, published.IMPORTED / "documents", mapping.source)
        print(f"fetched {origin} to {document}")
    rows = importing.import_rows(document, mapping, origin)
    path = published.IMPORTED / f"{mapping.source}.csv"
    published.check(rows, replacing=path)
    importing.write_rows(path, rows)
    print(f"wrote {len(rows)} published values to {path}")
