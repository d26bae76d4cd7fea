"""Check an image: whole, for this processor, of this version of kbench; then run `kbench doctor` in
it as jobs run.

Example: kbench container verify --sif containers/kbench.sif
"""

import argparse
from pathlib import Path

from kbench import locations
from kbench.container import image


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the image and the data that jobs will need."""
    parser.add_argument(
        "--sif", type=Path, default=image.DEFAULT, help="SIF file or sandbox folder"
    )
    locations.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Exit with the doctor's status; UserError (2) if the image itself is no good."""
    from kbench.container import apptainer, isolation

    chosen = image.find(arguments.sif)
    print(f" ok   {'image file':<18} {chosen.path}, {chosen.digest}", flush=True)
    options = ["--data", str(arguments.data.absolute())] if arguments.data else []
    folders = isolation.data(arguments.data)
    apptainer.execute(chosen.path, chosen.digest, folders, ["kbench", "doctor", *options])
