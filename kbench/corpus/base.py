"""What every kind of corpus offers: where its shards are and which captions a sample has."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from kbench.errors import UserError
from kbench.locations import Locations

IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp")


class Corpus(BaseModel, ABC):
    """Image-text pairs in webdataset shards: tar files whose members share a key, KEY.jpg, KEY.txt ..."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="name in result rows, e.g. cc3m")

    @abstractmethod
    def shards(self, locations: Locations) -> list[Path]:
        """Return the shard files in order; UserError, naming the folder, if there are none."""

    def held_out(self, locations: Locations) -> list[Path]:
        """Return shards that are never trained on, in order: the held-out loss is measured on them. None by default."""
        return []

    @abstractmethod
    def captions(self, sample: Mapping[str, bytes]) -> list[str]:
        """Return the captions of a sample, of which one is drawn at each use; UserError if it has none.

        `sample` maps the members' suffixes ('txt', 'cls', 'json') to their contents.
        """


def sorted_shards(folder: Path, pattern: str = "*.tar") -> list[Path]:
    """Return the shards in a folder; UserError if the folder is absent or holds none."""
    if not folder.is_dir():
        raise UserError(f"no corpus at {folder}: the folder does not exist")
    shards = sorted(folder.glob(pattern), key=lambda path: (len(path.name), path.name))
    if not shards:
        raise UserError(f"no corpus at {folder}: no file matches {pattern}")
    return shards


def split_held_out(shards: list[Path], number: int) -> tuple[list[Path], list[Path]]:
    """Return (training shards, the last `number` shards); UserError if nothing would be left to train on."""
    if number >= len(shards):
        raise UserError(f"held_out_shards {number} leaves nothing to train on: there are {len(shards)} shards")
    return shards[: len(shards) - number], shards[len(shards) - number :]


def caption_lines(sample: Mapping[str, bytes]) -> list[str]:
    """Return the non-empty lines of the sample's .txt member."""
    if "txt" not in sample:
        raise UserError("it has no .txt member")
    try:
        lines = sample["txt"].decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"its caption is not UTF-8: {error}") from error
    lines = [line.strip() for line in lines if line.strip()]
    if not lines:
        raise UserError("its caption is empty")
    return lines
