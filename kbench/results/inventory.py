"""What a bundle says of itself: its files with their hashes, as an RO-Crate 1.1, and the versions
of all packages that its runs were made with, as requirements files.

Both are made from the other members alone, so that equal results make equal bytes, and anybody can
make them again.
"""

import hashlib
import json
import mimetypes
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from kbench import files
from kbench.records.documents import EnvironmentRecord, ExperimentRecord

CRATE = "ro-crate-metadata.json"
LOCKS = "locks/*.txt"
LICENSE = "Not stated: ask whoever ran the experiment."

CONTEXT = ["https://w3id.org/ro/crate/1.1/context", {"sha256": "https://schema.org/sha256"}]
TYPES = {
    ".safetensors": "application/octet-stream",
    ".npz": "application/zip",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".tex": "application/x-tex",
}


def media_type(name: str) -> str:
    """Return the media type of a file by its name."""
    known = TYPES.get(PurePosixPath(name).suffix) or mimetypes.guess_type(name)[0]
    return known or "application/octet-stream"


def described(name: str, content: bytes) -> dict[str, Any]:
    """Return a crate's entity of one file."""
    return {
        "@id": name,
        "@type": "File",
        "name": name,
        "encodingFormat": media_type(name),
        "contentSize": str(len(content)),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def crate(experiment: ExperimentRecord, entities: Iterable[dict], ended: str | None) -> bytes:
    """Return ro-crate-metadata.json of the described files; ended: when the last result was made,
    as its provenance has it.
    """
    entities = list(entities)
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"kbench experiment {experiment.name}",
        "description": experiment.description or "A kbench experiment.",
        "license": LICENSE,
        "hasPart": [{"@id": entity["@id"]} for entity in entities],
    }
    if ended:
        root["datePublished"] = ended
    itself = {
        "@id": CRATE,
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    graph = {"@context": CONTEXT, "@graph": [itself, root, *entities]}
    return (json.dumps(graph, indent=1, sort_keys=True) + "\n").encode()


def locks(environments: Mapping[str, EnvironmentRecord]) -> dict[str, bytes]:
    """Return a requirements file for each set of packages that environments, by their hashes, have:
    its name in the bundle -> its content.
    """
    alike: dict[str, list[str]] = {}
    for digest, environment in environments.items():
        alike.setdefault(_lines(environment), []).append(digest)
    return {
        f"locks/{files.canonical_hash(lines)}.txt": (
            f"# environments {', '.join(sorted(digests))}\n{lines}".encode()
        )
        for lines, digests in alike.items()
    }


def _lines(environment: EnvironmentRecord) -> str:
    """Return the packages with their versions; kbench, which no index has, in a comment."""
    packages = dict(environment.packages)
    commit = (environment.checkout or {}).get("commit", "an installation")
    head = [
        f"# Python {environment.python}, {environment.system}",
        f"# kbench {packages.pop('kbench', None)}, {commit}",
    ]
    pinned = [f"{name}=={version}" for name, version in sorted(packages.items()) if version]
    return "\n".join([*head, *pinned]) + "\n"


def wrong(document: Any, contents: Mapping[str, bytes]) -> Iterator[str]:
    """Yield what does not fit, a sentence each, of a crate, as JSON has it, and the files there
    are, by name.
    """
    graph = document.get("@graph") if isinstance(document, dict) else None
    entities = [one for one in graph if isinstance(one, dict)] if isinstance(graph, list) else []
    listed = {str(one.get("@id")): one for one in entities if "sha256" in one}
    for name in sorted(listed.keys() | contents.keys()):
        if name not in contents:
            yield f"{name} is listed in {CRATE} and not there"
        elif name not in listed:
            yield f"{name} is not listed in {CRATE}"
        elif described(name, contents[name])["sha256"] != listed[name]["sha256"]:
            yield f"{name} is not what {CRATE} says"
