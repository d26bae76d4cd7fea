"""Floors of the excess loss on the embedded world that have been found, in floors.csv beside this
module.

A world has no seed, so that a floor of a form of score and a dimension is a constant of it. `kbench
floor` finds one.
"""

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pydantic import TypeAdapter

from kbench.errors import UserError
from kbench.files import replacing
from kbench.world_family import COLOURS, SHAPES, Family

FILE = Path(__file__).parent / "floors.csv"

BATCH_SIZE = 256
"""Pairs the loss is taken over, as in the task pmi_gap; InfoNCE depends on it."""


@dataclass(frozen=True)
class Floor:
    """The least excess loss that free vectors reached: an upper bound of what is possible.

    similarity: the form of score, with its default settings unless a file says another; points:
    free points of each scene and caption; excess_loss, standard_error: nats, of symmetric InfoNCE
    at batch 256 above PMI's; steps, starts: of the search; shapes, colours, specificity: which
    world.
    """

    similarity: str
    dimension: int
    points: int
    excess_loss: float
    standard_error: float
    steps: int
    starts: int
    shapes: int = SHAPES
    colours: int = COLOURS
    specificity: float = 0.0

    @property
    def family(self) -> Family:
        """Which world it is of."""
        return Family(self.shapes, self.colours, self.specificity)


def known(path: Path = FILE) -> list[Floor]:
    """Return the floors in a file, kbench's own unless another is given; UserError if it cannot be
    read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return TypeAdapter(list[Floor]).validate_python(list(csv.DictReader(stream)))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read floors from {path}: {error}") from error


def by_dimension(similarity: str, family: Family) -> dict[int, float]:
    """Return the known excess loss of one form of score at each dimension, one point a scene."""
    asked = (similarity, 1, family)
    rows = [floor for floor in known() if (floor.similarity, floor.points, floor.family) == asked]
    return {floor.dimension: floor.excess_loss for floor in rows}


def write(path: Path, floors: Iterable[Floor]) -> None:
    """Write floors as known() reads them, as a whole or not at all."""
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        columns = [field.name for field in fields(Floor)]
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        for floor in floors:
            rounded = {"excess_loss": f"{floor.excess_loss:.4f}"}
            rounded["standard_error"] = f"{floor.standard_error:.4f}"
            writer.writerow(asdict(floor) | rounded)
