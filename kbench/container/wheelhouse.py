"""Every package of the image as a wheel, resolved by the host's pip, so that the image is built
without a network.
"""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from kbench import files
from kbench.container.checkout import Checkout
from kbench.errors import UserError

RECORD = "wheels.json"
"""File beside the wheels that says what they were resolved from, and their hashes."""

CHOICES = {"cpu": "torch=={version}+cpu", "cuda": "torch==={version}"}
"""The build of torch that a wheelhouse holds: the local version +cpu, or the ordinary one, which is
CUDA's on Linux.
"""

HINTS = {
    "torch": (
        "Builds of torch for the CPU alone have an index of their own: give it with --index URL, or"
        " take the ordinary build, which brings CUDA's libraries, with --wheels cuda."
    ),
    "No space left": "The disk is full: free some, or set TMPDIR to a folder on a larger one.",
}
"""What to do about an error of pip's that holds these words."""


def default(target: str) -> str:
    """Return the build of torch for a target: the host's own for 'cpu', so that image and host
    compute the same.
    """
    return (
        "cpu"
        if target == "cpu" and importlib.metadata.version("torch").endswith("+cpu")
        else "cuda"
    )


def resolve(
    checkout: Checkout, choice: str, folder: Path, index: str | None = None
) -> dict[str, str]:
    """Fill `folder` with the wheels of all dependencies and return {file name: SHA-256}.

    Wheels that were resolved there before, from the same requirements, are used again; so a folder
    carried to a machine without an index is enough. UserError if pip cannot find a package.
    """
    constraint = _torch(checkout, choice)
    wanted = [
        constraint,
        *checkout.requirements(),
        *checkout.constraints.read_text(encoding="utf-8").splitlines(),
    ]
    source = {"python": list(sys.version_info[:2]), "requirements": files.canonical_hash(wanted)}
    if (folder / RECORD).exists():
        record = files.read_json(folder / RECORD)
        if record["source"] == source and record["wheels"] == hashes(folder):
            return record["wheels"]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _download(checkout, constraint, folder, index)
    files.write_json(folder / RECORD, {"source": source, "wheels": hashes(folder)})
    return hashes(folder)


def hashes(folder: Path) -> dict[str, str]:
    """Return {file name: SHA-256} of the wheels in a folder."""
    return {path.name: files.sha256(path) for path in sorted(folder.glob("*.whl"))}


def packages(wheels: dict[str, str]) -> dict[str, str]:
    """Return {distribution: version} from the names of wheel files."""
    return {name.split("-")[0]: name.split("-")[1] for name in wheels}


def build_package(checkout: Checkout, wheels: Path, folder: Path) -> dict[str, str]:
    """Build kbench's own wheel, with the build tools among `wheels`, and return {file name:
    SHA-256}.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as sources:
        checkout.copy_sources(Path(sources))
        _pip(
            [
                "--no-deps",
                "--no-index",
                "--find-links",
                str(wheels),
                "--wheel-dir",
                str(folder),
                sources,
            ],
            "kbench",
        )
    return hashes(folder)


def _torch(checkout: Checkout, choice: str) -> str:
    text = checkout.constraints.read_text(encoding="utf-8")
    return CHOICES[choice].format(version=re.search(r"^torch==([\w.]+)", text, re.MULTILINE)[1])


def _download(checkout: Checkout, constraint: str, folder: Path, index: str | None) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as chosen:
        print(constraint, file=chosen, flush=True)
        options = [
            "--wheel-dir",
            str(folder),
            "--constraint",
            str(checkout.constraints),
            "--constraint",
            chosen.name,
        ]
        extra = ["--extra-index-url", index] if index else []
        _pip([*options, *extra, *checkout.requirements()], constraint)


def _pip(arguments: list[str], what: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--disable-pip-version-check",
        *arguments,
    ]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        hints = [hint for words, hint in HINTS.items() if words in done.stderr]
        raise UserError(
            "\n".join([f"pip could not make the wheels of {what}:", done.stderr.strip(), *hints])
        )
