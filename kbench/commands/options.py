"""Options that several commands share."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from kbench.errors import UserError

if TYPE_CHECKING:
    from kbench.results.store import Store


def add_results(parser: argparse.ArgumentParser) -> None:
    """Add the results folder and what may be mixed in it."""
    parser.add_argument(
        "results",
        type=Path,
        help="results folder of an experiment, results/EXPERIMENT, or its bundle.tar.xz",
    )
    parser.add_argument(
        "--allow-mixed-images",
        action="store_true",
        help="take results of different container images, which are then named under every table",
    )
    parser.add_argument(
        "--allow-mixed-code",
        action="store_true",
        help=(
            "take results of code that differs in what they share, which is then named under every"
            " table"
        ),
    )


def load_results(arguments: argparse.Namespace, to_show: bool = False) -> "Store":
    """Read the results that a command with `add_results` was given; to_show: a table alone will
    do.
    """
    from kbench.results import store

    read = store.shown if to_show else store.load
    return read(arguments.results, arguments.allow_mixed_images, arguments.allow_mixed_code)


def add_device(parser: argparse.ArgumentParser, default: str = "auto") -> None:
    """Add --device."""
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default=default,
        help=f"auto: cuda where there is one; default: {default}",
    )


def device(arguments: argparse.Namespace) -> str:
    """Return the device to use, a GPU of its own if any; UserError if CUDA is asked for and
    absent.
    """
    import torch

    from kbench import devices
    from kbench.errors import UserError

    if arguments.device != "cpu":
        devices.claim(1)

    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no CUDA device here; legal: auto, cpu")
    return "cuda" if arguments.device != "cpu" and torch.cuda.is_available() else "cpu"


def add_assignments(parser: argparse.ArgumentParser) -> None:
    """Add --set, a parameter of a similarity."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="set a parameter"
    )


def assignments(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the parameters that were set; UserError for one without '='."""
    return dict(map(_assignment, arguments.set))


def _assignment(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not (key and sign):
        raise UserError(f"--set {text}: legal is KEY=VALUE, e.g. --set sigma=0.5")
    return key.strip(), value.strip()
