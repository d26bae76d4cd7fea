"""Build the image that jobs run in, from this checkout, and convert it to a SIF where Apptainer is
present.

The host's pip resolves every package of constraints.txt into wheels; the image is built from those
without a network. container.json beside the SIF says what is in it.

Example:
  kbench container build                                     containers/kbench.sif, CPU only
  kbench container build --target cuda --sif kbench-cuda.sif
  kbench container build --base IMAGE                 from another base, for example an imported one
"""

import argparse
import signal
import sys
import time
from pathlib import Path

from kbench.commands.container_wheels import add_source
from kbench.container import image


def configure(parser: argparse.ArgumentParser) -> None:
    """Add target, base, SIF, engine and where the wheels come from."""
    parser.add_argument(
        "--target", choices=("cpu", "cuda"), default="cpu", help="target of the Dockerfile"
    )
    parser.add_argument(
        "--base", metavar="IMAGE", help="base image (default: the Dockerfile's, pinned by digest)"
    )
    parser.add_argument(
        "--sif", type=Path, help=f"SIF to write (default: {image.DEFAULT} if Apptainer is present)"
    )
    parser.add_argument(
        "--engine", choices=("docker", "apptainer"), default="docker", help="what builds the image"
    )
    add_source(parser)


def end_tidily() -> None:
    """Make SIGTERM end this process as Ctrl-C does: nothing half-written stays, nothing that it
    started goes on.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def run(arguments: argparse.Namespace) -> None:
    """Build; UserError (exit status 2) if anything needed is missing or the build fails."""
    from kbench.container import apptainer, context, engine, wheelhouse
    from kbench.container.build import build
    from kbench.container.checkout import Checkout

    end_tidily()
    if arguments.sif or arguments.engine == "apptainer":
        apptainer.required()
    started = time.monotonic()
    checkout = Checkout(Path.cwd())
    base = arguments.base or checkout.base()
    if arguments.engine == "docker":
        engine.require(base)
    choice = arguments.wheels or wheelhouse.default(arguments.target)
    given = context.prepare(checkout, choice, base, arguments.index)
    sif = arguments.sif or image.DEFAULT
    record = build(checkout, given, arguments.target, arguments.engine, sif, started)
    print(f"wrote {record}")
