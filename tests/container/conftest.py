"""Fixtures: a small checkout, a stand-in for Apptainer's `inspect`, and the real image to run jobs
in.
"""

import os
import tempfile
from pathlib import Path

import pytest

import kbench
from kbench.container import apptainer, engine, image, record
from kbench.container.checkout import Checkout
from kbench.errors import UserError

REPOSITORY = Path(kbench.__file__).parents[1]


GIVEN = os.environ.get("KBENCH_TEST_SIF")
"""An image that has to be there, with an engine that holds it too; without it, tests of the image
may be skipped.
"""


@pytest.fixture(scope="session")
def sif() -> image.Image:
    """The image that `kbench container build` made from this very code."""
    if GIVEN:
        return image.find(Path(GIVEN))
    if apptainer.program() is None:
        pytest.skip("no apptainer on the PATH: containers/ci.sh installs one and builds the image")
    try:
        return image.find(REPOSITORY / image.DEFAULT)
    except UserError as error:
        pytest.skip(f"no image of this code (containers/ci.sh builds one): {error}")


@pytest.fixture
def docker_image(sif) -> str:
    """The same image as the Docker engine holds it."""
    try:
        name = record.read(sif.path.parent).docker_image()
        with engine.session() as client:
            engine.find(client, name)
    except UserError as error:
        if GIVEN:
            raise
        pytest.skip(f"no Docker image of this code: {error}")
    return name


@pytest.fixture
def open_folder():
    """A new folder that every user may enter, unlike pytest's own, with white space in its name."""
    with tempfile.TemporaryDirectory(prefix="kbench ") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Checkout:
    """A checkout with one dependency, `little`, in the place of the real one."""
    root = tmp_path / "check out"
    (root / "containers").mkdir(parents=True)
    (root / "kbench").mkdir()
    (root / "kbench" / "__init__.py").write_text('__version__ = "0.1.0"\n')
    (root / "constraints.txt").write_text("torch==2.13.0\nlittle==1.5\n")
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\n[project]\ndependencies = ["little>=1"]\n'
    )
    (root / "containers" / "Dockerfile").write_text(
        "ARG BASE=python:2.7-slim@sha256:0\nFROM ${BASE}\n"
    )
    monkeypatch.setattr(kbench, "__file__", str(root / "kbench" / "__init__.py"))
    return Checkout(root)


@pytest.fixture
def labelled(tmp_path, monkeypatch):
    """A function that puts a stand-in `apptainer` on the PATH, whose `inspect` reports the code
    version it is given.
    """

    def install(code: str | None) -> None:
        folder = tmp_path / "programs"
        folder.mkdir()
        labels = f'{{"{image.CODE_LABEL}": "{code}"}}' if code else "null"
        program = folder / "apptainer"
        program.write_text(
            f'#!/bin/sh\necho \'{{"data": {{"attributes": {{"labels": {labels}}}}}}}\'\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return install
