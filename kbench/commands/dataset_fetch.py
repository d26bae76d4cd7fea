"""Download an evaluation dataset to the data folder. Nothing else in kbench downloads any.

The folder appears when every file is there and the images are as many as published; what is
interrupted goes on.

Example: kbench dataset fetch food101 --data data
         kbench dataset fetch mine --data data --url https://example.org/datasets/mine
"""

import argparse
from pathlib import Path

from kbench import locations


def configure(parser: argparse.ArgumentParser) -> None:
    """Add name, address and the data folder."""
    parser.add_argument("name", metavar="NAME", help="a name of `kbench datasets`")
    parser.add_argument("--url", help="another address of the same layout than the dataset's own")
    locations.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Download, or say that it is there."""
    from kbench.datasets import dataset as known_datasets
    from kbench.datasets.fetch import fetch
    from kbench.errors import UserError

    dataset = known_datasets.get(arguments.name)
    if Path(dataset.folder).is_absolute():
        raise UserError(
            f"'{dataset.name}' is not fetched: its folder {dataset.folder} is not below the data"
            " folder"
        )
    root = dataset.path(locations.from_arguments(arguments))
    written = fetch(dataset, root, arguments.url)
    print(
        f"{dataset.name}: {'downloaded to' if written else 'nothing to do, there already:'} {root}"
    )
