"""The header of a SIF file: enough to tell a whole one from a truncated one, and for which
processor it is.

`apptainer inspect` takes a file cut to a fifth for whole, and is not on every machine that plans.
Layout: github.com/apptainer/sif, pkg/sif, types header and rawDescriptor (little endian, packed).
"""

import platform
import struct
from pathlib import Path

from kbench.errors import UserError

HEADER = struct.Struct("<32s 10s 3s 3s 16s 8q")
"""Launcher, magic, version, architecture, id, and: created, modified, free and all descriptors,
place of the table of descriptors, its bytes, place of the data, their bytes."""

DESCRIPTOR = struct.Struct("<i ? 3I 2q")
"""Start of a descriptor: type, used, id, group, link, place of its data, their bytes."""

MAGIC = b"SIF_MAGIC\0"
PROCESSORS = {"02": "x86_64", "04": "aarch64", "06": "ppc64le"}


def check(path: Path) -> None:
    """Raise UserError unless `path` is a whole SIF file for this machine's processor."""
    with path.open("rb") as stream:
        start = stream.read(HEADER.size)
        if len(start) < HEADER.size or HEADER.unpack(start)[1] != MAGIC:
            raise UserError(f"{path} is not a SIF image: build one with `kbench container build`")
        header = HEADER.unpack(start)
        stream.seek(header[9])
        expected = _end(stream.read(header[10]), header[8], header[9] + header[10])
    if path.stat().st_size < expected:
        raise UserError(
            f"{path} is truncated: {path.stat().st_size} of {expected} bytes. Copy it again, or"
            " build it again with `kbench container build`"
        )
    code = header[3].rstrip(b"\0").decode(errors="replace")
    if PROCESSORS.get(code) != platform.machine():
        built = PROCESSORS.get(code, f"another processor (SIF code {code})")
        raise UserError(f"{path} is built for {built}, this machine is {platform.machine()}")


def _end(table: bytes, number: int, least: int) -> int:
    """Return where the last data object ends, in bytes; `least` if the table itself is cut off."""
    stride = len(table) // number if number else 0
    if stride < DESCRIPTOR.size:
        return least
    rows = (DESCRIPTOR.unpack_from(table, stride * index) for index in range(number))
    return max((offset + size for _, used, *_, offset, size in rows if used), default=least)
