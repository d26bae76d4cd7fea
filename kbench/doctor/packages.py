"""The packages that kbench runs with: of this environment, of a lock file, or of an image."""

import importlib.metadata
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from kbench.container import record
from kbench.errors import UserError

LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)")
WHEEL = re.compile(r"^(?P<name>[^-]+)-(?P<version>[^-]+)-.*\.whl$")


@dataclass(frozen=True, order=True)
class Package:
    """A package by its name in PyPI's spelling or Debian's, with hashes of its files where these
    are known.
    """

    kind: Literal["pypi", "deb"]
    name: str
    version: str
    sha256: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The package URL, by which lists of advisories and bills of materials name it."""
        place = "deb/debian" if self.kind == "deb" else "pypi"
        return f"pkg:{place}/{self.name}@{self.version.replace('+', '%2B').replace(':', '%3A')}"


def installed() -> list[Package]:
    """Return the Python packages of this environment and, where there are any, those of Debian."""
    python = {
        Package("pypi", canonicalize_name(distribution.metadata["Name"]), distribution.version)
        for distribution in importlib.metadata.distributions()
    }
    return sorted(python | set(_debian()))


def locked(path: Path) -> list[Package]:
    """Return the packages of a requirements file; UserError for one without 'name==version'."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    listed = [
        Package("pypi", canonicalize_name(line[1]), line[2])
        for line in map(LOCKED.match, lines)
        if line
    ]
    if not listed:
        raise UserError(
            f"{path} locks no package; legal are lines name==version, as in requirements.lock"
        )
    return sorted(listed)


def of_image(container: record.Container) -> list[Package]:
    """Return the Python packages of an image, with the hash of each wheel that was installed."""
    wheels: dict[tuple[str, str], tuple[str, ...]] = {}
    for file, digest in container.wheels.items():
        if name := WHEEL.match(file):
            wheels[canonicalize_name(name["name"]), _plain(name["version"])] = (digest,)
    return sorted(
        Package(
            "pypi",
            canonicalize_name(name),
            version,
            wheels.get((canonicalize_name(name), _plain(version)), ()),
        )
        for name, version in container.packages.items()
    )


def base_of(container: record.Container) -> str:
    """Return in words what an image starts from and whether anything has verified it."""
    if re.search(r"@sha256:[0-9a-f]{64}$", container.base):
        return f"{container.base}: verified by its digest when it was pulled"
    return f"{container.base}: not verified; whoever made it answers for it"


def bill_of_materials(
    packages: Iterable[Package], subject: str, base: str | None = None
) -> dict[str, Any]:
    """Return a CycloneDX 1.5 document (ECMA-424).

    subject: what consists of the packages; base: what is known of the rest of it.
    """
    about = [{"name": "kbench:base", "value": base}] if base else []
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "subject",
                "name": subject,
                "properties": about,
            }
        },
        "components": [_component(package) for package in packages],
    }


def _component(package: Package) -> dict[str, Any]:
    hashes = [{"alg": "SHA-256", "content": digest} for digest in package.sha256]
    return {
        "type": "library",
        "bom-ref": package.url,
        "name": package.name,
        "version": package.version,
        "purl": package.url,
        **({"hashes": hashes} if hashes else {}),
    }


def _debian() -> list[Package]:
    if shutil.which("dpkg-query") is None:
        return []
    words = ["dpkg-query", "--show", "--showformat", "${Package} ${Version} ${db:Status-Status}\n"]
    listed = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    fields = (line.split() for line in listed.splitlines())
    return [
        Package("deb", name, version) for name, version, state in fields if state == "installed"
    ]


def _plain(version: str) -> str:
    """Return a version as wheels and metadata agree on it: '+' is written '_' in some names."""
    try:
        return str(Version(version.replace("_", "+")))
    except InvalidVersion:
        return version
