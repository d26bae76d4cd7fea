"""Read every shard of a run's corpus, decode every image, and write the manifest that pretraining
relies on.

What cannot be used (an image that does not decode, a missing, empty or huge caption or one that is
not UTF-8, a key that occurs twice, a shard that is cut off) is counted by kind and passed over by
training; above the corpus's `max_unusable` it is an error.

Example: kbench corpus verify --config results/demo/runs/RUN/config.json --world results/demo/world
--output corpus.json
"""

import argparse
from pathlib import Path

from kbench import files, locations


def configure(parser: argparse.ArgumentParser) -> None:
    """Add configuration, folders and output."""
    parser.add_argument(
        "--config", type=Path, required=True, help="frozen configuration of any run on the corpus"
    )
    parser.add_argument("--output", type=Path, required=True, help="manifest to write")
    parser.add_argument(
        "--processes", type=int, default=1, help="shards read at a time; default %(default)s"
    )
    locations.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Verify, print the counts, write."""
    from kbench.corpus.manifest import verify
    from kbench.errors import UserError
    from kbench.experiment.load import read_run

    if arguments.processes < 1:
        raise UserError(f"--processes {arguments.processes}: at least 1 is needed")
    config = read_run(arguments.config)
    manifest = verify(config.corpus, locations.from_arguments(arguments), arguments.processes)
    files.write_json(arguments.output, manifest.model_dump(mode="json"))
    print("\n".join(manifest.summary()))
