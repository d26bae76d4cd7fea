"""Options that several commands share."""

import argparse


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add --device."""
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: cuda where there is one"
    )


def device(arguments: argparse.Namespace) -> str:
    """Return the device to use; UserError if CUDA is asked for and absent."""
    import torch

    from kbench.errors import UserError

    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no CUDA device here; legal: auto, cpu")
    return "cuda" if arguments.device != "cpu" and torch.cuda.is_available() else "cpu"
