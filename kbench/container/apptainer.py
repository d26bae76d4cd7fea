"""Apptainer's command line (or SingularityCE's, which is the same here)."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from kbench import files
from kbench.container import isolation
from kbench.container.context import Context
from kbench.errors import UserError

COMPRESSION = "-comp zstd -Xcompression-level 3"
"""A twentieth of the default gzip's processor time for a file 4 % larger, measured on scipy's
folder.
"""


def program() -> str | None:
    """Return the path of apptainer or singularity, or None."""
    return shutil.which("apptainer") or shutil.which("singularity")


def required() -> str:
    """Return the path of apptainer or singularity; UserError if there is neither."""
    path = program()
    if path is None:
        raise UserError(
            "neither apptainer nor singularity is on the PATH: install Apptainer, or use"
            " --container docker"
        )
    return path


def labels(image: Path) -> dict[str, str]:
    """Return the labels of a SIF or sandbox; UserError if Apptainer cannot read it."""
    done = subprocess.run(
        [required(), "inspect", "--json", "--labels", image], capture_output=True, text=True
    )
    if done.returncode:
        raise UserError(f"{image} is not an image that Apptainer can read: {done.stderr.strip()}")
    return json.loads(done.stdout)["data"]["attributes"]["labels"] or {}


def convert(tag: str, sif: Path) -> None:
    """Write the Docker engine's image `tag` as a SIF, whole or not at all."""
    _build(sif, f"docker-daemon:{tag}")


def build(context: Context, definition: Path, sif: Path) -> None:
    """Build a SIF from the definition, without Docker. A base that is a folder or a file here is
    used as it is.
    """
    local = Path(context.base).exists()
    arguments = context.arguments | {
        "CONTEXT": str(context.folder),
        "BOOTSTRAP": "localimage" if local else "docker",
        "BASE": str(Path(context.base).resolve()) if local else context.base,
    }
    options = [
        word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")
    ]
    _build(sif, str(definition), options)


def execute(image: Path, digest: str, binds: list[Path], command: list[str]) -> NoReturn:
    """Become a command in an image, run as jobs are, the working directory included: status and
    signals are its own. One of several tasks has the machine's network, to meet the others.
    """
    variables = isolation.environment(digest)
    given = isolation.folders([Path(tempfile.gettempdir()), *binds])
    words = [
        *(required(), "exec", "--home", os.getcwd()),
        *isolation.apptainer(given, connected=isolation.one_of_several()),
        *(word for name, value in variables.items() for word in ("--env", f"{name}={value}")),
        *(["--nv"] if isolation.gpu() else []),
        *(str(image), *command),
    ]
    sys.stdout.flush()
    os.execv(words[0], words)


def _build(sif: Path, source: str, options: Sequence[str] = ()) -> None:
    with files.replacing(sif) as temporary:
        command = [
            required(),
            "build",
            "--force",
            "--disable-cache",
            "--mksquashfs-args",
            COMPRESSION,
            *options,
        ]
        with subprocess.Popen(
            [*command, str(temporary), source], stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                log = [line for line in process.stderr if not print(line, end="", flush=True)]
            except BaseException:
                process.terminate()
                raise
        if process.returncode:
            raise UserError(f"{sif} was not written: {_reason(log)}")


def _reason(log: list[str]) -> str:
    lines = [line.strip() for line in log if line.strip()] or ["Apptainer was ended"]
    reason = next(
        (line.partition("FATAL:")[2].strip() for line in lines if "FATAL:" in line), lines[-1]
    )
    full = any("no space left" in line.lower() for line in lines)
    return reason + (
        ". The disk is full: free some, or point APPTAINER_TMPDIR at a larger one." if full else ""
    )
