"""List the evaluation datasets: kind, classes, images, main metric, chance level, prompts, and what
is present; then the suites, which an experiment names in place of all their sets.

Counts are of train / validation / test as published, '?' where they are not. --details adds sources
and how to get what is absent.

Example: kbench datasets --data data
         kbench datasets --details
"""

import argparse
from pathlib import Path

from kbench import locations, tasks
from kbench.datasets import dataset as known_datasets
from kbench.datasets import suites
from kbench.datasets.dataset import Dataset
from kbench.locations import Locations

COLUMNS = "{:<34} {:<23} {:>7} {:>23}  {:<24} {:>6}  {:<30} {}"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the folders to look in."""
    parser.add_argument(
        "--details", action="store_true", help="also print source and instructions of each"
    )
    locations.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print one line a dataset."""
    where = locations.from_arguments(arguments)
    titles = (
        "name",
        "kind",
        "classes",
        "train / val / test",
        "main metric",
        "chance",
        "prompts",
        "present",
    )
    print(COLUMNS.format(*titles))
    for dataset in map(known_datasets.get, known_datasets.names()):
        print(_line(dataset, where))
        if arguments.details:
            print(f"    {dataset.source}")
            if not dataset.is_present(where):
                print(f"    {dataset.instructions(_root(dataset, where))}")
    for name, suite in suites.known().items():
        print(f"suite:{name:<28} {len(suite['datasets'])} sets. {suite['about']}")


def _line(dataset: Dataset, where: Locations) -> str:
    return COLUMNS.format(
        dataset.name,
        dataset.kind,
        dataset.n_classes or "-",
        " / ".join(
            _count(dataset, split)
            for split in (dataset.train_split, dataset.val_split, dataset.test_split)
        ),
        dataset.main_metric,
        "-" if (chance := tasks.chance(dataset)) is None else f"{chance:.4f}",
        _prompts(dataset) if dataset.has_classes else "-",
        _presence(dataset, where),
    ).rstrip()


def _count(dataset: Dataset, split: str | None) -> str:
    return "-" if split is None else str(dataset.splits[split] or "?")


def _prompts(dataset: Dataset) -> str:
    return dataset.prompts if ":" in dataset.prompts else "in its folder"


def _root(dataset: Dataset, where: Locations) -> Path:
    return (where.data or Path("DATA")) / dataset.folder


def _presence(dataset: Dataset, where: Locations) -> str:
    if not dataset.is_present(where):
        return "generated" if dataset.location == "world" else "absent"
    root = dataset.path(where)
    there = [split for split in dataset.splits if (root / split / "nshards.txt").is_file()]
    return f"{', '.join(there) or 'no split'} at {root}"
