"""List the documents that lie below results/EXPERIMENT/, and what each of their keys means, as
Markdown.

Example:
  kbench documents
"""

import argparse

from kbench.results import written


def configure(parser: argparse.ArgumentParser) -> None:
    """The command takes no option."""


def run(arguments: argparse.Namespace) -> None:
    """Print the schemas."""
    print(written.markdown(), end="")
