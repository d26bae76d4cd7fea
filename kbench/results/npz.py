"""Small files of arrays as numpy writes them, read in a tenth of the time that numpy takes: a
report reads tens of thousands.

The layout is that of PKWARE's APPNOTE.TXT (sections 4.3.7, 4.3.12 and 4.3.16) and of numpy's format
1.0; sizes and checksums are checked as zipfile does. Whatever looks different is numpy's to read,
or to refuse.
"""

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from functools import lru_cache
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy

NEWEST = 63
"""Of the format's versions, times ten, the last that zipfile reads."""

LARGEST = 1 << 24
"""Bytes of an array that is read here."""

STORED, DEFLATED = 0, 8

_END = struct.Struct("<4s4H2IH")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_MAGIC = b"\x93NUMPY\x01\x00"


class Unusual(Exception):
    """The content is not laid out as numpy does it, or is damaged."""


class _Member(NamedTuple):
    name: str
    method: int
    checksum: int
    packed: int
    size: int
    start: int  # of its local header


def read(content: bytes, names: Collection[str] | None) -> dict[str, np.ndarray]:
    """Return those of the named arrays that a file's content holds, or all; Unusual if that is for
    numpy to do.
    """
    try:
        members = {member.name: member for member in _members(content)}
        wanted = members if names is None else names
        return {name: _array(_bytes(content, members[name])) for name in wanted if name in members}
    except (struct.error, zlib.error, ValueError) as error:
        raise Unusual(str(error)) from error


def _members(content: bytes) -> Iterator[_Member]:
    """Yield what the directory at the end lists."""
    end = len(content) - _END.size
    signature, *_, entries, size, at, comment = _END.unpack_from(content, end)
    if signature != b"PK\5\6" or comment or at + size != end:
        raise Unusual("no directory at the end")
    seen = set()
    for _ in range(entries):
        fields = _ENTRY.unpack_from(content, at)
        signature, _, version, flags, method = fields[:5]
        checksum, packed, size, named, extra, remark = fields[7:13]
        name = content[at + _ENTRY.size : at + _ENTRY.size + named].decode("ascii")
        plain = signature == b"PK\1\2" and version <= NEWEST and not flags
        plain = plain and name.endswith(".npy")
        if not plain or name in seen or size > LARGEST:
            raise Unusual(f"entry {name!r}")
        seen.add(name)
        yield _Member(name.removesuffix(".npy"), method, checksum, packed, size, fields[-1])
        at += _ENTRY.size + named + extra + remark
    if at != end:
        raise Unusual("more in the directory than the entries that it counts")


def _bytes(content: bytes, member: _Member) -> bytes:
    """Return a member's content, which must be what the directory says."""
    signature, _, flags, *_, named, extra = _LOCAL.unpack_from(content, member.start)
    begin = member.start + _LOCAL.size + named
    name = content[begin - named : begin]
    if signature != b"PK\3\4" or flags or name != f"{member.name}.npy".encode():
        raise Unusual(f"entry {member.name!r} begins otherwise than the directory says")
    packed = content[begin + extra : begin + extra + member.packed]
    if member.method == DEFLATED:
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        unpacked = stream.decompress(packed, member.size + 1)
        if not stream.eof or stream.unused_data:
            raise Unusual(f"entry {member.name!r} ends elsewhere than the directory says")
    elif member.method == STORED:
        unpacked = packed
    else:
        raise Unusual(f"compression {member.method}")
    if len(unpacked) != member.size or zlib.crc32(unpacked) != member.checksum:
        raise Unusual(f"entry {member.name!r} is not what the directory says")
    return unpacked


def _array(content: bytes) -> np.ndarray:
    """Return the array of an .npy file's content."""
    if not content.startswith(_MAGIC):
        raise Unusual("another format than 1.0")
    begin = len(_MAGIC) + 2
    begin += int.from_bytes(content[begin - 2 : begin], "little")
    shape, columns_first, dtype = _header(content[:begin])
    if dtype.hasobject or len(content) - begin != math.prod(shape) * dtype.itemsize:
        raise Unusual("objects, or another size than the header's")
    flat = np.frombuffer(content, dtype, offset=begin).copy()
    return flat.reshape(shape, order="F" if columns_first else "C")


@lru_cache(maxsize=256)
def _header(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, order and type; few headers are as many as the files of a report."""
    stream = BytesIO(content)
    npy.read_magic(stream)
    return npy.read_array_header_1_0(stream)
