"""Read webdataset shards, local or remote, from files that may come from a stranger."""

import contextlib
import hashlib
import os
import re
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import braceexpand

from kbench.corpus.base import Damaged, Hash, Sample, Shard, sorted_files
from kbench.errors import UserError
from kbench.lazily import without_torch

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

MAX_MEMBER_BYTES = 64 * 2**20
"""Larger members are taken for empty ones: an archive's header can claim any size."""

META = re.compile(r"__[^/]*__(/|$)")
"""Members that webdataset keeps for itself."""

DOWNLOAD_ATTEMPTS = 4


@dataclass(frozen=True)
class TarShard(Shard):
    """A tar file whose members share a key, KEY.jpg, KEY.txt ...; at a path, or at a URL that
    fsspec understands.
    """

    url: str
    name: str
    weight: float = 1.0

    @classmethod
    def at(cls, path: Path) -> "TarShard":
        """Return the shard at a path, named by its file name."""
        return cls(str(path), path.name)

    def read(self, hashed: Hash | None = None) -> Iterator[tuple[str, Sample]]:
        """Yield (key, members by suffix) of every sample."""
        with _local_copy(self.url) as path:
            yield from read_samples(path, hashed)


def expand(pattern: str, folder: Path, weight: float = 1.0) -> list[TarShard]:
    """Return the shards of a brace pattern, in order; * and ? match files as well.

    A pattern with '://' is a URL for fsspec, another is relative to the folder. UserError if a
    pattern matches nothing.
    """
    return [
        shard
        for part in braceexpand.braceexpand(pattern)
        for shard in _matches(part, folder, weight)
    ]


def _matches(pattern: str, folder: Path, weight: float) -> list[TarShard]:
    if "://" not in pattern:
        parent, _, name = pattern.rpartition("/")
        paths = sorted_files(folder / parent, name)
        return [TarShard(str(path), path.relative_to(folder).as_posix(), weight) for path in paths]
    if not any(character in pattern for character in "*?"):
        return [TarShard(pattern, pattern, weight)]
    system, path = _file_system(pattern)
    try:
        addresses = sorted(system.unstrip_protocol(match) for match in system.glob(path))
    except OSError as error:
        raise UserError(f"cannot list {pattern}: {error}") from error
    if not addresses:
        raise UserError(f"no corpus at {pattern}: nothing matches")
    return [TarShard(url, url, weight) for url in addresses]


def _file_system(url: str) -> tuple["AbstractFileSystem", str]:
    from fsspec.core import url_to_fs

    try:
        return url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise UserError(f"cannot read {url}: {error}") from error


@contextlib.contextmanager
def _local_copy(url: str) -> Iterator[Path]:
    """Yield a path to read; a remote file is fetched whole and forgotten afterwards.

    Reading on from a broken connection would make the stream depend on the network.
    """
    if "://" not in url:
        yield Path(url)
        return
    with tempfile.TemporaryDirectory(prefix="kbench-shard-") as folder:
        path = Path(folder) / "shard.tar"
        _download(url, path)
        yield path


def _download(url: str, path: Path) -> None:
    system, source = _file_system(url)
    for attempt in range(DOWNLOAD_ATTEMPTS):
        try:
            system.get_file(source, str(path))
            return
        except FileNotFoundError as error:
            raise UserError(f"no such shard: {url}") from error
        except Exception as error:  # each protocol has exceptions of its own
            if attempt == DOWNLOAD_ATTEMPTS - 1:
                raise UserError(f"cannot fetch {url}: {error}") from error
            time.sleep(2**attempt)


def read_samples(shard: Path, hashed: Hash | None = None) -> Iterator[tuple[str, Sample]]:
    """Yield (key, members by suffix) of every sample of a tar file, in order.

    Members are only ever read into memory: their names never become paths and nothing is unpickled.
    Raises UserError if the file is absent; Damaged, after the samples before the damage, if it is
    cut off or no tar.
    """
    try:
        with shard.open("rb") as stream:
            if hashed is not None:
                hashlib.file_digest(stream, lambda: hashed)
                stream.seek(0)
            yield from _samples(_members(stream))
            _check_end(stream)
    except FileNotFoundError as error:
        raise UserError(f"no such shard: {shard}") from error
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise Damaged(
            "truncated shard", f"shard {shard} is truncated or not a tar file: {error}"
        ) from error


def count_samples(shard: Path) -> int:
    """Return how many samples `read_samples` yields, from the headers alone; Damaged if it is cut
    off or no tar.
    """
    try:
        with shard.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            names = (
                member.name for member in archive if member.isreg() and not META.match(member.name)
            )
            number = sum(1 for _ in _samples((name, b"") for name in names))
            _check_end(stream)
            return number
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise Damaged(
            "truncated shard", f"shard {shard} is truncated or not a tar file: {error}"
        ) from error


def _members(stream: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of the regular files of an archive; a compressed archive is refused."""
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        for member in archive:
            if member.isreg() and not META.match(member.name):
                yield (
                    member.name,
                    (
                        archive.extractfile(member).read()
                        if member.size <= MAX_MEMBER_BYTES
                        else b""
                    ),
                )


def _samples(members: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, Sample]]:
    """Group consecutive members by key; a suffix that comes again begins another sample of the same
    key.
    """
    base_plus_ext = without_torch("webdataset.tariterators").base_plus_ext
    current, sample = None, {}
    for name, data in members:
        key, suffix = base_plus_ext(name)
        if key is None:
            continue
        if key != current or suffix.lower() in sample:
            if sample:
                yield current, sample
            current, sample = key, {}
        sample[suffix.lower()] = data
    if sample:
        yield current, sample


def _check_end(stream: BinaryIO) -> None:
    """Raise ValueError unless a block of zeros ends the archive; tarfile takes many cut-off
    archives for whole ones.
    """
    stream.seek(0, os.SEEK_END)
    stream.seek(max(0, stream.tell() - tarfile.BLOCKSIZE))
    if stream.read() != tarfile.NUL * tarfile.BLOCKSIZE:
        raise ValueError("it has no end-of-archive block")
