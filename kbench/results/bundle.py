"""A comparison in one file: every document that a report reads, without weights and features.

A tar archive, compressed as one stream, because runs resemble each other. Of a result's arrays it
has those that its task declares for tests and for its part of the report, and beside them what it
says of itself (kbench.results.inventory). Equal results make equal bytes.
"""

import io
import tarfile
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
from pydantic import ValidationError

from kbench import files, tasks
from kbench.errors import UserError
from kbench.records.documents import EnvironmentRecord, ExperimentRecord, Record, TaskResult
from kbench.results import inventory
from kbench.results.arrays import read

AnyRecord = TypeVar("AnyRecord", bound=Record)

NAME = "bundle.tar.xz"
LARGEST = 4 << 30
"""Bytes that a bundle may hold; a small archive can claim any number."""

DOCUMENTS = (
    "experiment.json",
    "evaluation.json",
    "corpus.json",
    "tuning.json",
    "looks.json",
    "runs/*/config.json",
    "runs/*/model.json",
    "runs/*/metrics.jsonl",
    "runs/*/code/*.json",
    "runs/*/environments/*.json",
    "runs/*/evaluation/*/*.json",
    "runs/*/intermediate/*/model.json",
    "runs/*/intermediate/*/evaluation/*/*.json",
)
ARRAYS = ("runs/*/evaluation/*/*.npz", "runs/*/weights.npz")
PATTERNS = (*DOCUMENTS, *ARRAYS, inventory.CRATE, inventory.LOCKS)


def write(results: Path, path: Path) -> None:
    """Write the bundle of results/EXPERIMENT, whole or not at all; UserError if that is no
    experiment's folder.
    """
    if not (results / "experiment.json").is_file():
        raise UserError(
            f"{results} is not an experiment's results folder: it has no experiment.json"
        )
    with (
        files.replacing(path) as temporary,
        tarfile.open(temporary, "w:xz", format=tarfile.PAX_FORMAT, preset=1) as archive,
    ):
        for name, content in _described(_members(results)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def unpack(path: Path) -> tempfile.TemporaryDirectory:
    """Return a folder, there until it is closed, with what results/EXPERIMENT held.

    Raises UserError if the file is no bundle, or one that writes anywhere else or claims too much.
    """
    folder = tempfile.TemporaryDirectory(prefix="kbench-bundle-")
    try:
        with tarfile.open(path, "r:xz") as archive:
            members = archive.getmembers()
            _check(path, members)
            for member in members:
                target = Path(folder.name, member.name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.extractfile(member).read())
    except (tarfile.TarError, LZMAError, EOFError, OSError) as error:
        raise UserError(f"{path} is not a bundle of kbench, or is damaged: {error}") from error
    return folder


def _check(path: Path, members: list[tarfile.TarInfo]) -> None:
    foreign = next((m.name for m in members if not _belongs(m)), None)
    if foreign is not None:
        raise UserError(f"{path} is not a bundle of kbench: it holds {foreign!r}")
    if sum(member.size for member in members) > LARGEST:
        raise UserError(f"{path} claims to hold more than {LARGEST >> 30} GiB; it is not unpacked")


def _belongs(member: tarfile.TarInfo) -> bool:
    return member.isfile() and any(_is(pattern, member.name) for pattern in PATTERNS)


def _is(pattern: str, name: str) -> bool:
    wanted, parts = pattern.split("/"), name.split("/")
    plain = len(wanted) == len(parts) and not {"", ".", ".."} & set(parts)
    return plain and all(map(fnmatchcase, parts, wanted))


def _described(members: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Yield the members, and then the lock files and the crate that they make."""
    entities, environments, experiment, ended = [], {}, None, ""
    for name, content in members:
        yield name, content
        entities.append(inventory.described(name, content))
        if name == "experiment.json":
            experiment = _parsed(name, content, ExperimentRecord)
        elif _is("runs/*/environments/*.json", name):
            environments[PurePosixPath(name).stem] = _parsed(name, content, EnvironmentRecord)
        elif _is("runs/*/evaluation/*/*.json", name):
            ended = max(ended, _parsed(name, content, TaskResult).provenance.ended or "")
    for name, content in sorted(inventory.locks(environments).items()):
        yield name, content
        entities.append(inventory.described(name, content))
    yield inventory.CRATE, inventory.crate(experiment, entities, ended or None)


def _parsed(name: str, content: bytes, kind: type[AnyRecord]) -> AnyRecord:
    """Return a member's document; UserError if it is not valid."""
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise UserError(f"cannot use {name}: {error.errors()[0]['msg']}") from error


def _members(results: Path) -> Iterator[tuple[str, bytes]]:
    for pattern in DOCUMENTS:
        for path in sorted(results.glob(pattern)):
            yield str(path.relative_to(results)), path.read_bytes()
    for pattern in ARRAYS:
        for path in sorted(results.glob(pattern)):
            yield str(path.relative_to(results)), _needed(path)


def _needed(path: Path) -> bytes:
    """Return a file of arrays again, not compressed, with those that somebody declares to read."""
    declared, content = tasks.find(path.stem), io.BytesIO()
    arrays = read(path, declared.reads() if declared else None)
    np.savez(content, **arrays)
    return content.getvalue()
