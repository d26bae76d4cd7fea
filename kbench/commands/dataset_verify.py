"""Check evaluation datasets against their metadata: counts, class names and their order, no image
in two splits.

Without names, all that are present are checked. Exits with 2, naming every difference, if there is
one.

Example: kbench dataset verify cifar10 flickr8k_1k --data data
         kbench dataset verify --world results/demo/world
"""

import argparse

from kbench import locations


def configure(parser: argparse.ArgumentParser) -> None:
    """Add names, folders and what counts as the same image."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="a name of `kbench datasets`")
    parser.add_argument(
        "--pixels",
        action="store_true",
        help=(
            "decode every image and compare pixels instead of files: slower, and finds images that"
            " were encoded again"
        ),
    )
    locations.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print one line a dataset; UserError with all differences if there are any."""
    from kbench.datasets import dataset as known_datasets
    from kbench.datasets.verify import verify
    from kbench.errors import UserError

    where = locations.from_arguments(arguments)
    problems: list[str] = []
    chosen = arguments.names or [
        name for name in known_datasets.names() if known_datasets.get(name).is_present(where)
    ]
    if not chosen:
        raise UserError(
            "no dataset is present: give the folders with --data FOLDER (or KBENCH_DATA) or --world"
            " FOLDER"
        )
    for dataset in map(known_datasets.get, chosen):
        report = verify(dataset, dataset.root(where), arguments.pixels)
        images = ", ".join(f"{split} {count}" for split, count in report.images.items())
        captions = "" if report.captions is None else f", {report.captions} captions"
        twice = "".join(
            f", {count} of {split} occur twice" for split, count in report.repeated.items() if count
        )
        state = "differs" if report.problems else "as described"
        print(
            f"{dataset.name:<20} {state:<13} images: {images or 'none'}{captions}{twice}",
            flush=True,
        )
        for note in report.notes:
            print(f"{'':<20} {note}")
        problems += [f"{dataset.name}: {problem}" for problem in report.problems]
    if problems:
        raise UserError(
            f"differences from the metadata: {len(problems)}\n  " + "\n  ".join(problems)
        )
