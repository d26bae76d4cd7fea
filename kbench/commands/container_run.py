"""Run one kbench command in a container, as the workflow would: the same folders, user and GPUs,
and no network.

Example:
  kbench container run --container docker evaluate --run results/demo/runs/RUN \\
    --evaluation results/demo/evaluation.json
  kbench container run --container apptainer --bind /scratch/results doctor
"""

import argparse
import os
from pathlib import Path

from kbench.container import image


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the kind of container, the image, the folders and the command."""
    parser.add_argument(
        "--container", choices=("docker", "apptainer"), required=True, help="what runs the image"
    )
    parser.add_argument(
        "--image", help=f"image name or id, or SIF (default: of the record beside {image.DEFAULT})"
    )
    parser.add_argument(
        "--bind", type=Path, action="append", default=[], help="further folder the command may use"
    )
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, help="a kbench command with its options"
    )


def run(arguments: argparse.Namespace) -> int:
    """Return the command's exit status."""
    from kbench.container import apptainer, docker_job, isolation, record
    from kbench.errors import UserError

    if not arguments.command:
        raise UserError(
            "no command given: kbench container run --container docker doctor, for example"
        )
    folders = isolation.folders([*isolation.data(os.environ.get("KBENCH_DATA")), *arguments.bind])
    command = ["kbench", *arguments.command]
    if arguments.container == "docker":
        return docker_job.run(
            arguments.image or record.read(image.DEFAULT.parent).docker_image(), folders, command
        )
    path = Path(arguments.image or image.DEFAULT)
    # Each task of a training would read all of an image that the workflow has looked at.
    several = isolation.one_of_several()
    chosen = image.remembered(path, anew=False) if several else image.find(path)
    apptainer.execute(chosen.path, chosen.digest, folders, command)
