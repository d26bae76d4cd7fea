"""What every kind of corpus offers: where its shards are and which captions a sample has."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from kbench.errors import UserError
from kbench.locations import Locations
from kbench.records.section import Section

IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp")

MAX_CAPTION_BYTES = 64 * 2**10
"""Larger captions are no captions."""

Sample = dict[str, bytes]
"""A sample's members by suffix: 'jpg', 'txt', 'cls' ..."""


class Unusable(UserError):
    """A sample that cannot be trained on; `kind` is the name it is counted under."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Damaged(UserError):
    """A shard that ends before its end or is none; what came before could be read. `kind` as for
    Unusable.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Hash(Protocol):
    """An object of hashlib."""

    def update(self, data: bytes, /) -> None:
        """Add data."""


class Shard(ABC):
    """A part of a corpus that one process reads from its beginning to its end.

    name: how messages and the manifest call it; weight: how often an epoch passes over it.
    """

    name: str
    weight: float = 1.0

    @abstractmethod
    def read(self, hashed: Hash | None = None) -> Iterator[tuple[str, Sample]]:
        """Yield (key, members by suffix) of every sample, always in the same order.

        `hashed` is fed with everything that identifies the shard's content. Raises UserError if the
        shard is absent, and Damaged, after the samples before the damage, if it is cut off or
        something else.
        """


class Corpus(Section, ABC):
    """Image-text pairs in shards."""

    name: str = Field(description="name in result rows, e.g. cc3m")
    samples: int | None = Field(
        default=None,
        gt=0,
        le=1 << 40,
        description="pairs that count as an epoch; default: all usable ones, sources weighted",
    )
    max_unusable: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="largest share of samples, and of shards, that may be damaged",
    )

    @abstractmethod
    def shards(self, locations: Locations) -> list[Shard]:
        """Return the shards that are trained on, in order; UserError, naming the folder, if there
        are none.
        """

    def lacks(self, dataset: str) -> str | None:
        """Return why an evaluation set cannot be had with this corpus; None if it can."""
        return None

    def held_out(self, locations: Locations) -> list[Shard]:
        """Return shards that are never trained on, in order: the held-out loss is measured on them.
        None by default.
        """
        return []

    @abstractmethod
    def captions(self, sample: Mapping[str, bytes]) -> list[str]:
        """Return the captions of a sample, of which one is drawn at each use; Unusable if it has
        none.
        """


def split_held_out(shards: list[Any], number: int) -> tuple[list[Any], list[Any]]:
    """Return (training shards, the last `number` shards); UserError if nothing would be left to
    train on.
    """
    if number >= len(shards):
        raise UserError(
            f"held_out_shards {number} leaves nothing to train on: there are {len(shards)} shards"
        )
    return shards[: len(shards) - number], shards[len(shards) - number :]


def sorted_files(folder: Path, pattern: str = "*.tar") -> list[Path]:
    """Return a folder's files that match a shell pattern; UserError if the folder is absent or none
    does.
    """
    if not folder.is_dir():
        raise UserError(f"no corpus at {folder}: the folder does not exist")
    paths = sorted(folder.glob(pattern), key=lambda path: (len(path.name), path.name))
    if not paths:
        raise UserError(f"no corpus at {folder}: no file matches {pattern}")
    return paths


def caption_lines(sample: Mapping[str, bytes]) -> list[str]:
    """Return the non-empty lines of the sample's .txt member."""
    if "txt" not in sample:
        raise Unusable("no caption", "it has no .txt member")
    if len(sample["txt"]) > MAX_CAPTION_BYTES:
        raise Unusable(
            "huge caption",
            f"its caption has {len(sample['txt'])} bytes, more than {MAX_CAPTION_BYTES}",
        )
    try:
        lines = sample["txt"].decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise Unusable("caption not UTF-8", f"its caption is not UTF-8: {error}") from error
    lines = [line.strip() for line in lines if line.strip()]
    if not lines:
        raise Unusable("empty caption", "its caption is empty")
    return lines
