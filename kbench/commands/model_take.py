"""Put an imported model into the folder of the run that evaluates it.

What `kbench pretrain` is for a run that is trained: afterwards, model.safetensors and model.json
are there. Refused if the model is not the one that the run was planned with.

Example:
  kbench model take --run results/released/runs/openai-s0-0a1b2c3d4e5f
"""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the run's folder."""
    parser.add_argument(
        "--run", type=Path, required=True, help="run folder, which holds config.json"
    )


def run(arguments: argparse.Namespace) -> None:
    """Take the model and say so."""
    from kbench.models import library

    card = library.take(arguments.run)
    print(f"{card.run}: {card.parameters:,} parameters from {card.imported.source}")
