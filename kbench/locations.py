"""Where data lies on this machine; never part of a run's identity."""

import os
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path

from kbench.errors import UserError


@dataclass(frozen=True)
class Locations:
    """Folders that commands are given: the generated embedded world and the user's own data."""

    world: Path | None = None
    data: Path | None = None

    def folder(self, location: str) -> Path:
        """Return the folder for 'world' or 'data'; UserError, saying how to set it, if it was not
        given.
        """
        folder = self.world if location == "world" else self.data
        if folder is None:
            option = "--world FOLDER" if location == "world" else "--data FOLDER (or KBENCH_DATA)"
            raise UserError(f"the {location} folder is not set: give it with {option}")
        if not folder.is_dir():
            raise UserError(f"the {location} folder {folder} does not exist")
        return folder


def add_arguments(parser: ArgumentParser) -> None:
    """Add --world and --data to a command."""
    parser.add_argument("--world", type=Path, help="folder written by `kbench world make`")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ["KBENCH_DATA"]) if os.environ.get("KBENCH_DATA") else None,
        help="folder of real data sets, one subfolder each (default: KBENCH_DATA)",
    )


def from_arguments(arguments: Namespace) -> Locations:
    """Return the locations a command was given."""
    return Locations(world=arguments.world, data=arguments.data)
