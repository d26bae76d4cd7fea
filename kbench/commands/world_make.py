"""Generate the embedded world: corpus shards and evaluation sets, byte for byte the same for the
same options.

The folder appears when everything is written; if it is there already with the same options, nothing
is done.

Example: kbench world make --output world --seed 0
         kbench world make --output small --pairs 512 --eval-images 64
"""

import argparse
from pathlib import Path

from kbench.world.make import make
from kbench.world.manifest import MANIFEST, WorldSettings, read_manifest, settings_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the folder and one option for each setting of the world."""
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    for name, field in WorldSettings.model_fields.items():
        option = "--" + name.replace("_", "-")
        text = f"{field.description} (default: %(default)s)"
        parser.add_argument(
            option, type=field.annotation, default=field.default, metavar="N", help=text
        )


def run(arguments: argparse.Namespace) -> None:
    """Write the world, or say that it is there."""
    settings = settings_of({name: getattr(arguments, name) for name in WorldSettings.model_fields})
    made = make(arguments.output, settings)
    manifest = read_manifest(arguments.output)
    size = sum(file.bytes for file in manifest.files.values())
    state = "wrote" if made else "nothing to do, there already:"
    print(
        f"{state} {arguments.output / MANIFEST}, {sum(manifest.samples.values())} images,"
        f" {size / 1e6:.0f} MB"
    )
