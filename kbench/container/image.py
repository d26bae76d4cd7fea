"""The image that a workflow is told to use: found, whole, of this version of kbench, and known by
its digest.
"""

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from kbench import files, provenance
from kbench.container import apptainer, sif
from kbench.errors import UserError

DEFAULT = Path("containers/kbench.sif")
"""What `kbench container build` writes and jobs use unless they are told otherwise."""

CODE_LABEL = "kbench.code"
"""Label with kbench.provenance.code_version() of the kbench inside."""


@dataclass(frozen=True)
class Image:
    """A SIF file, or a sandbox folder for users who may not mount one."""

    path: Path
    digest: str
    """SHA-256 of the SIF; of a sandbox, over its files' names and contents."""

    def link(self, folder: Path = Path(".snakemake")) -> str:
        """Return a relative path of the image without white space, which Snakemake refuses: a link,
        named by digest.
        """
        folder.mkdir(exist_ok=True)
        link = folder / f"kbench-{self.digest[:12]}{self.path.suffix}"
        if not link.is_symlink() or os.readlink(link) != str(self.path):
            temporary = folder / f".{link.name}.{os.getpid()}"
            temporary.symlink_to(self.path)
            temporary.replace(link)
        return str(link)


def find(path: Path) -> Image:
    """Return the image at `path`; UserError if it is missing, damaged, or of another version of
    kbench.
    """
    path = Path(path).resolve()
    try:
        if not path.exists():
            option = "" if path == DEFAULT.resolve() else f" --sif '{path}'"
            raise UserError(f"no image at {path}: build it with `kbench container build{option}`")
        if path.is_file():
            sif.check(path)
        return _examined(path)
    except OSError as error:
        raise UserError(f"cannot read the image {path}: {error.strerror or error}") from error


def remembered(path: Path, anew: bool, folder: Path = Path(".snakemake")) -> Image:
    """Return find(path), looked up in `folder` unless `anew`: each job of a workflow asks, and
    hashing takes seconds.

    An image that was replaced since (another size, time or file number) is examined again.
    """
    note = folder / f"kbench-image-{files.canonical_hash(str(Path(path).resolve()))}.json"
    state = _state(path)
    if not anew and note.exists():
        known = files.read_json(note)
        if known["state"] == state:
            return Image(Path(known["path"]), known["digest"])
    chosen = find(path)
    files.write_json(note, {"path": str(chosen.path), "digest": chosen.digest, "state": state})
    return chosen


def _state(path: Path) -> list:
    with contextlib.suppress(OSError):
        seen = Path(path).stat()
        return [seen.st_size, seen.st_mtime_ns, seen.st_ino, provenance.code_version()]
    return []


def _examined(path: Path) -> Image:
    code = apptainer.labels(path).get(CODE_LABEL)
    if code != provenance.code_version():
        raise UserError(
            f"{path} holds {f'kbench {code}' if code else 'no kbench'}, but this is kbench "
            f"{provenance.code_version()}: build it again with `kbench container build`"
        )
    return Image(path, files.sha256(path) if path.is_file() else _sandbox_digest(path))


def _sandbox_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        content = (
            os.readlink(path) if path.is_symlink() else files.sha256(path) if path.is_file() else ""
        )
        digest.update(f"{path.relative_to(folder)}\0{content}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
