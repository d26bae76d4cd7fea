"""The checkout that an image is built from."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import kbench
from kbench.errors import UserError

SOURCES = ("kbench", "pyproject.toml", "README.md", "LICENSE")
"""What the package is built from."""


class Checkout:
    """Paths and facts of a checkout of kbench."""

    def __init__(self, root: Path) -> None:
        """UserError unless `root` is the checkout that the running kbench was installed from."""
        self.root = root
        if not (root / "containers" / "Dockerfile").is_file():
            raise UserError(
                f"{root} is not a checkout of kbench (no containers/Dockerfile): run this from one"
            )
        imported = Path(kbench.__file__).resolve().parent
        if imported != (root / "kbench").resolve():
            raise UserError(
                f"the kbench that runs is {imported}, not {root}'s: install the checkout (`make"
                " setup`)"
            )

    @property
    def dockerfile(self) -> Path:
        """The Dockerfile."""
        return self.root / "containers" / "Dockerfile"

    @property
    def definition(self) -> Path:
        """The Apptainer definition."""
        return self.root / "containers" / "kbench.def"

    @property
    def constraints(self) -> Path:
        """The exact versions of all packages."""
        return self.root / "constraints.txt"

    def base(self) -> str:
        """Return the Dockerfile's base; UserError if it has another Python than the one that
        resolves the wheels.
        """
        base = re.search(
            r"^ARG BASE=(\S+)", self.dockerfile.read_text(encoding="utf-8"), re.MULTILINE
        )[1]
        version = re.search(r"python:(\d+\.\d+)", base)[1]
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        if version != here:
            raise UserError(
                f"the base {base} has Python {version}, kbench runs on {here}: give --base with"
                f" {here}"
            )
        return base

    def requirements(self) -> list[str]:
        """Return what the package needs to be built and to run."""
        project = tomllib.loads((self.root / "pyproject.toml").read_text(encoding="utf-8"))
        return project["build-system"]["requires"] + project["project"]["dependencies"]

    def revision(self) -> str:
        """Return the git revision, with '-dirty' after changes, or 'unknown' outside of a
        repository.
        """
        command = [
            "git",
            "-C",
            self.root,
            "describe",
            "--always",
            "--dirty",
            "--exclude=*",
            "--abbrev=40",
        ]
        try:
            return subprocess.run(
                command, capture_output=True, text=True, check=True
            ).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return "unknown"

    def copy_sources(self, folder: Path) -> None:
        """Copy what the package is built from, so that nothing left over by an earlier build gets
        in.
        """
        for name in SOURCES:
            source = self.root / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy(source, folder / name)
