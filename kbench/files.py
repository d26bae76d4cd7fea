"""Files that are either whole or absent: written to a temporary name, synced, renamed."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kbench.errors import DiskFull, UserError
from kbench.records import strict_json

FULL = 1 << 20
"""Free bytes below which a disk counts as full."""

BLOCK = 1 << 16
"""Bytes that are read at once."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends without an exception it takes
    `path`'s place.

    Raises UserError if the folder cannot be written to or the disk is full.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o666 & ~umask())
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from error
    except Exception as error:
        # What writes for a library may say that the disk is full by an exception of its own, and
        # after the fact.
        if os.strerror(errno.ENOSPC) in str(error) or _free(path) < FULL:
            raise unwritable(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))) from error
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> UserError:
    """Return the error for a file that could not be written; DiskFull, with the room there is, if
    that is why.
    """
    reason = error.strerror or str(error)
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"cannot write {path}: {reason}")
    return DiskFull(f"cannot write {path}: {reason} ({_free(path) / 1e6:.1f} MB free there)")


def _free(path: Path) -> int:
    """Return the free bytes of the file system that a path is on, or would be."""
    folder = next(parent for parent in Path(path).absolute().parents if parent.is_dir())
    return shutil.disk_usage(folder).free


def claim(path: Path) -> None:
    """Have the file system set aside room for all of a file that may have holes; DiskFull if it has
    none.

    A memory map of a file with holes ends the program without a word (SIGBUS) when a hole cannot be
    filled.
    """
    with Path(path).open("r+b") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size == 0 or not hasattr(os, "posix_fallocate"):
            return
        try:
            os.posix_fallocate(stream.fileno(), 0, size)
        except OSError as error:
            raise unwritable(path, error) from error


def umask() -> int:
    """Return the process's mask of permissions."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as a whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; NaN and infinity are refused with ValueError."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_bytes(path: Path | str, most: int | None = None) -> bytes:
    """Return a file's content, or of a longer one no less than its first `most` bytes; OSError.

    In half the time that open() takes for a small file, which counts where there are 100,000.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        content = part = os.read(descriptor, BLOCK)
        while part and (most is None or len(content) < most):
            part = os.read(descriptor, BLOCK)
            content += part
    finally:
        os.close(descriptor)
    return content


def read_json(path: Path | str) -> Any:
    """Read a JSON file; UserError if it is absent or not JSON."""
    try:
        return strict_json.parse(read_bytes(path).decode("utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"no such file: {path}") from error
    except (ValueError, OSError) as error:
        raise UserError(f"cannot read {path} as JSON: {error}") from error


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical_hash(value: Any, digits: int = 12) -> str:
    """Return the first hexadecimal digits of the SHA-256 of a value's canonical JSON (sorted keys,
    no spaces).
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def differences(seen: Any, expected: Any, key: str = "") -> Iterator[str]:
    """Yield 'KEY SEEN instead of EXPECTED' for each leaf in which two JSON values differ."""
    if isinstance(seen, dict) and isinstance(expected, dict):
        for name in sorted(seen.keys() | expected.keys()):
            inner = f"{key}.{name}" if key else name
            yield from differences(seen.get(name, "absent"), expected.get(name, "absent"), inner)
    elif seen != expected:
        yield f"{key} {json.dumps(seen)} instead of {json.dumps(expected)}"
