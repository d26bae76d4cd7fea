"""Write a run's model as a folder that open_clip and CLIP_benchmark load: local-dir:FOLDER.

It holds open_clip_config.json, the weights, a tokenizer where it is one of Hugging Face's, and a
model card: recipe, deviations, results, data. Refused, with the reason, where open_clip cannot
express the model; and what was written is loaded with open_clip and compared before it gets its
name.

Example:
  kbench model export results/cc3m/runs/cosine-s0-0a1b2c3d4e5f --output exported
"""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the run and the folder to write."""
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder to write; must not exist"
    )
    parser.add_argument("--licence", help="under which you give the weights away, for the card")


def run(arguments: argparse.Namespace) -> None:
    """Export and say how to load it."""
    from kbench.models import export

    export.export(arguments.run, arguments.output, arguments.licence)
    print(
        f"wrote {arguments.output}; open_clip and CLIP_benchmark load local-dir:{arguments.output}"
    )
