"""Gather every package of the image as a wheel, as `kbench container build` does first; needs pip's
index, no engine.

For a machine that has an engine and no index: carry the folder to the same place in a checkout
there, and build.

Example: kbench container wheels --target cuda
"""

import argparse
from pathlib import Path

from kbench.container.wheelhouse import CHOICES


def configure(parser: argparse.ArgumentParser) -> None:
    """Add target and where the wheels come from."""
    parser.add_argument(
        "--target", choices=("cpu", "cuda"), default="cpu", help="target of the Dockerfile"
    )
    add_source(parser)


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add which build of torch is taken, and from where."""
    parser.add_argument(
        "--wheels", choices=tuple(CHOICES), help="build of torch (default: the host's, or CUDA's)"
    )
    parser.add_argument(
        "--index", metavar="URL", help="further package index for pip, for builds of torch"
    )


def run(arguments: argparse.Namespace) -> None:
    """Print the folder; UserError (exit status 2) if a package cannot be had."""
    from kbench.container import context, wheelhouse
    from kbench.container.checkout import Checkout

    choice = arguments.wheels or wheelhouse.default(arguments.target)
    folder, wheels = context.gather(Checkout(Path.cwd()), choice, arguments.index)
    print(f"{len(wheels)} wheels in {folder}")
