"""The code of a stage, as hashes of the modules it used, and its record beside the run:
code/HASH.json.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kbench import files
from kbench.errors import UserError
from kbench.records.documents import CodeRecord


@dataclass(frozen=True)
class Code:
    """Modules that a stage used, with the hash of each."""

    modules: Mapping[str, str]

    @functools.cached_property
    def hash(self) -> str:
        """The identity of the whole, 12 hexadecimal digits."""
        return files.canonical_hash(dict(self.modules))

    def write(self, run: Path) -> str:
        """Write the modules into a run's folder, where a result that names the hash finds them;
        returns the hash.
        """
        target = path(run, self.hash)
        if not target.is_file():
            files.write_json(target, CodeRecord(modules=dict(self.modules)).model_dump())
        return self.hash


def path(run: Path, code_hash: str) -> Path:
    """Return where the modules lie that a document of a run names by their hash."""
    return run / "code" / f"{code_hash}.json"


def read(run: Path, code_hash: str) -> Code:
    """Return what `write` wrote; UserError if it is absent, damaged or edited."""
    file = path(run, code_hash)
    document = files.read_json(file)
    modules = document.get("modules") if isinstance(document, dict) else None
    code = Code(modules) if isinstance(modules, dict) else None
    if code is None or code.hash != code_hash:
        raise UserError(
            f"{file} does not hold the code that its name says: it was damaged or edited"
        )
    return code


def conflicts(codes: Iterable[Code]) -> list[str]:
    """Return the modules that several codes share and that are not the same in all, sorted.

    What only some use, such as the file of a variant, may differ: another file changes none of the
    shared ones.
    """
    seen: dict[str, set[str]] = {}
    for code in codes:
        for module, digest in code.modules.items():
            seen.setdefault(module, set()).add(digest)
    return sorted(module for module, digests in seen.items() if len(digests) > 1)
