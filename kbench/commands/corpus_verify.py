"""Read every shard of a run's corpus, decode every image, and write the manifest that pretraining relies on.

Example: kbench corpus verify --config results/demo/runs/RUN/config.json --world results/demo/world --output corpus.json
"""

import argparse
from pathlib import Path

from kbench import files, locations


def configure(parser: argparse.ArgumentParser) -> None:
    """Add configuration, folders and output."""
    parser.add_argument("--config", type=Path, required=True, help="frozen configuration of any run on the corpus")
    parser.add_argument("--output", type=Path, required=True, help="manifest to write")
    locations.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Verify and write; UserError naming the shard for anything that cannot be used."""
    from kbench.corpus.manifest import verify
    from kbench.experiment.load import read_run

    config = read_run(arguments.config)
    manifest = verify(config.corpus, locations.from_arguments(arguments))
    files.write_json(arguments.output, manifest.model_dump(mode="json"))
    print(f"{manifest.corpus}: {manifest.pairs} pairs in {len(manifest.shards)} shards")
