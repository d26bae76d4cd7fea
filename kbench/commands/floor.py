"""The least excess loss that free vectors reach on the embedded world: a floor that no tower can go
below with the same form of score and dimension.

Every scene and every caption gets points of its own, which nothing but the similarity holds
together, and these are brought to the least symmetric InfoNCE at batch 256. What they reach is an
upper bound of what is possible. Without --similarity the floors that have been found are listed;
reports draw them where scores stand against the embedding dimension. They were made by

  kbench floor --similarity wpse-linear cosine --dimension 1 2 3 4 8 16 32 --steps 800 \\
    --output kbench/world/floors.csv

Examples:
  kbench floor
  kbench floor --similarity kme-gaussian --dimension 2 8 --points 2 --set sigma=0.3
"""

import argparse
from pathlib import Path

from kbench.commands import options
from kbench.errors import UserError
from kbench.world import Family, floors
from kbench.world.floors import Floor
from kbench.world.manifest import settings_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what is sought, how long, and where it is written."""
    parser.add_argument(
        "--similarity", nargs="+", metavar="NAME", help="variants; `kbench variants` lists them"
    )
    parser.add_argument(
        "--dimension", nargs="+", type=int, metavar="D", help="dimensions of the points"
    )
    parser.add_argument(
        "--points", type=int, default=1, help="of each scene and caption; default %(default)s"
    )
    options.add_assignments(parser)
    for name, plain in Family._field_defaults.items():
        parser.add_argument(
            f"--{name}",
            type=type(plain),
            default=plain,
            help="of the world, as in `kbench world make`; default %(default)s",
        )
    parser.add_argument(
        "--steps", type=int, default=1000, help="of each start of the search; default %(default)s"
    )
    parser.add_argument(
        "--starts", type=int, default=2, help="of which the best counts; default %(default)s"
    )
    parser.add_argument(
        "--batches", type=int, default=1600, help="fresh ones to measure on; default %(default)s"
    )
    parser.add_argument("--output", type=Path, metavar="CSV", help="where floors are written, too")


def run(arguments: argparse.Namespace) -> None:
    """List the known floors, or seek new ones."""
    if arguments.similarity is None:
        print("\n".join(_listed(floors.known())))
        return
    if arguments.dimension is None:
        raise UserError("--similarity needs --dimension, e.g. --dimension 2 8 32")
    _family(arguments)
    for option, least in {"steps": 1, "starts": 1, "batches": 2}.items():
        if getattr(arguments, option) < least:
            raise UserError(f"--{option} {getattr(arguments, option)}; legal: at least {least}")
    reached = []
    for name in arguments.similarity:
        for dimension in arguments.dimension:
            reached.append(_reach(name, dimension, arguments))
            if arguments.output:
                floors.write(arguments.output, reached)


def _reach(name: str, dimension: int, arguments: argparse.Namespace) -> Floor:
    from kbench.floor.search import Search, least

    search = Search(arguments.steps, arguments.starts, arguments.batches)
    settings, family = options.assignments(arguments), _family(arguments)
    floor = least(name, settings, dimension, arguments.points, search, family)
    print(
        f"{name}, d = {dimension}, {_points(floor.points)}: {floor.excess_loss:.3f} nats above PMI"
        f" (standard error {floor.standard_error:.3f})",
        flush=True,
    )
    return floor


def _family(arguments: argparse.Namespace) -> Family:
    """Return the world that is asked for; UserError if there is none such."""
    return settings_of({name: getattr(arguments, name) for name in Family._fields}).family


def _points(number: int) -> str:
    return "one point" if number == 1 else f"{number} points"


def _listed(known: list[Floor]) -> list[str]:
    """Return the floors as a table, a line for each form of score."""
    dimensions = sorted({floor.dimension for floor in known})
    values = {(_form(floor), floor.dimension): floor.excess_loss for floor in known}
    lines = [f"{'nats above PMI':<28}" + "".join(f"{f'd = {d}':>9}" for d in dimensions)]
    for form in dict.fromkeys(map(_form, known)):
        cells = [values.get((form, dimension)) for dimension in dimensions]
        shown = "".join(f"{'–' if cell is None else f'{cell:.3f}':>9}" for cell in cells)
        lines.append(f"{form:<28}{shown}")
    return lines


def _form(floor: Floor) -> str:
    """Return what a line of the table is of."""
    form = f"{floor.similarity}, {_points(floor.points)}"
    if floor.family.is_plain:
        return form
    return (
        f"{form}, {', '.join(f'{key} {value:g}' for key, value in floor.family._asdict().items())}"
    )
