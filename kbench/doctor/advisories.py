"""Known vulnerabilities of packages, by a list that the user has fetched: no network is asked.

The list is OSV's (https://ossf.github.io/osv-schema/): its export for PyPI, all.zip, or some of the
files in it. What a record says of versions is evaluated as the schema's section on evaluation asks.
"""

import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from kbench.doctor.packages import Package
from kbench.errors import UserError
from kbench.records import strict_json

LARGEST = 16 << 20
"""Bytes of one record: the largest of PyPI's have a few hundred thousand."""


@dataclass(frozen=True)
class Finding:
    """A package that an advisory is about, and the versions that mend it as far as it says so."""

    package: Package
    advisory: str
    summary: str
    mended_in: tuple[str, ...]

    def __str__(self) -> str:
        versions = ", ".join(self.mended_in)
        mend = f"mended in {versions}" if versions else "no version mends it"
        about = f"{self.package.name} {self.package.version}: {self.advisory}, {mend}"
        return f"{about}. {self.summary}" if self.summary else about


def check(packages: Iterable[Package], path: Path) -> tuple[list[Finding], int]:
    """Return what a list says of Python packages, and how many records it has.

    path: all.zip, a folder of JSON files, or one of these. UserError if it holds no record.
    """
    named: dict[str, list[Package]] = {}
    for package in packages:
        if package.kind == "pypi":
            named.setdefault(package.name, []).append(package)
    findings, records = [], 0
    for record in _records(path):
        records += 1
        findings += _findings(record, named)
    if not records:
        raise UserError(
            f"{path} holds no advisory; legal: OSV's export for PyPI, all.zip, or its JSON files"
        )
    return sorted(findings, key=lambda one: (one.package, one.advisory)), records


def _findings(record: dict[str, Any], named: dict[str, list[Package]]) -> Iterator[Finding]:
    if record.get("withdrawn"):
        return
    affected: dict[Package, set[str]] = {}
    for entry in record.get("affected", []):
        about = entry.get("package", {})
        if about.get("ecosystem") != "PyPI":
            continue
        for package in named.get(canonicalize_name(about.get("name", "")), []):
            if _is_affected(package.version, entry):
                affected.setdefault(package, set()).update(_fixed(entry))
    for package, versions in affected.items():
        later = (version for version in versions if _key(version) > _key(package.version))
        yield Finding(
            package,
            record["id"],
            record.get("summary") or "",
            tuple(sorted(later, key=_key)),
        )


def _is_affected(version: str, entry: dict[str, Any]) -> bool:
    if version.partition("+")[0] in entry.get("versions", []) or version in entry.get(
        "versions", []
    ):
        return True
    return any(_is_within(version, one.get("events", [])) for one in _ranges(entry))


def _ranges(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Return those that speak of versions, not of commits."""
    return [one for one in entry.get("ranges", []) if one.get("type") == "ECOSYSTEM"]


def _is_within(version: str, events: list[dict[str, str]]) -> bool:
    """Walk through the events in the order of their versions; the last one passed decides."""
    inside = False
    for kind, at in sorted(
        ((kind, at) for event in events for kind, at in event.items()),
        key=lambda event: _key(event[1]),
    ):
        reached = _key(version) > _key(at) if kind == "last_affected" else _key(version) >= _key(at)
        if reached and kind in ("introduced", "fixed", "last_affected"):
            inside = kind == "introduced"
    return inside


def _fixed(entry: dict[str, Any]) -> set[str]:
    events = (event for one in _ranges(entry) for event in one.get("events", []))
    return {event["fixed"] for event in events if "fixed" in event}


def _key(version: str) -> Version:
    """Return what orders a version; 0, which stands for the first one, and what is none are first.

    A local build, +cpu, has the faults of the version that it was made of.
    """
    try:
        return Version(Version(version).public)
    except InvalidVersion:
        return Version("0.dev0")


def _records(path: Path) -> Iterator[dict[str, Any]]:
    try:
        for name, text in _texts(path):
            try:
                record = strict_json.parse(text)
            except ValueError as error:
                raise UserError(f"{path}: {name} is no JSON: {error}") from error
            if not isinstance(record, dict) or not isinstance(record.get("id"), str):
                raise UserError(f"{path}: {name} is no advisory in OSV's form: it has no id")
            yield record
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise UserError(f"cannot read advisories from {path}: {error}") from error


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    if path.is_dir():
        yield from ((file.name, file.read_text("utf-8")) for file in sorted(path.glob("*.json")))
    elif path.suffix == ".json":
        yield path.name, path.read_text(encoding="utf-8")
    else:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.file_size > LARGEST:
                    raise UserError(f"{path}: {member.filename} claims {member.file_size:,} bytes")
                if member.filename.endswith(".json"):
                    yield member.filename, archive.read(member).decode("utf-8")
