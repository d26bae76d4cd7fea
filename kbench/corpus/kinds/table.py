"""A table of image paths and captions, CSV or TSV."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO, Literal

from pydantic import Field

from kbench.corpus.base import Corpus, Hash, Sample, Shard, caption_lines
from kbench.corpus.shards import MAX_MEMBER_BYTES
from kbench.errors import UserError, unknown
from kbench.locations import Locations

ROWS_PER_SHARD = 512
"""Rows that a loader process reads one after the other; few enough that small tables serve many
processes.
"""

# A caption of any length is read, and refused by its length later, instead of ending the table.
csv.field_size_limit(MAX_MEMBER_BYTES)


class TableCorpus(Corpus):
    """Rows of a CSV or TSV file with a header; image paths are relative to a folder and do not
    leave it.
    """

    kind: Literal["table"]
    file: str = Field(
        description="CSV or TSV file below the data folder; .tsv and .txt are separated by tabs"
    )
    images: str = Field(
        default=".", description="folder below the data folder that image paths are relative to"
    )
    image_column: str = Field(default="image", description="column of the image paths")
    caption_column: str = Field(default="caption", description="column of the captions")
    held_out_file: str | None = Field(
        default=None, description="table of pairs for the held-out loss"
    )

    def shards(self, locations: Locations) -> list[Shard]:
        """Return the parts of the table."""
        return self._parts(self.file, locations)

    def held_out(self, locations: Locations) -> list[Shard]:
        """Return the parts of the held-out table."""
        return self._parts(self.held_out_file, locations) if self.held_out_file else []

    def captions(self, sample: Mapping[str, bytes]) -> list[str]:
        """Return the caption of a row, its lines joined."""
        return [" ".join(caption_lines(sample))]

    def _parts(self, name: str, locations: Locations) -> list[Shard]:
        data = locations.folder("data")
        layout = _Layout(data / name, data / self.images, self.image_column, self.caption_column)
        parts = list(layout.parts())
        if not parts:
            raise UserError(f"the table {layout.path} has no rows")
        return parts


@dataclass(frozen=True)
class _Layout:
    """Where a table lies and what its columns are called."""

    path: Path
    images: Path
    image_column: str
    caption_column: str

    def parts(self) -> Iterator["TableShard"]:
        """Read the table once and yield its parts of ROWS_PER_SHARD rows."""
        try:
            with self.path.open("rb") as stream:
                rows = _Rows(stream, self.path)
                columns = self._columns(rows)
                first, start, number = 0, rows.position, -1
                for number, _ in enumerate(rows):
                    if number + 1 - first == ROWS_PER_SHARD:
                        yield self._part(first, number + 1, start, columns)
                        first, start = number + 1, rows.position
                if number + 1 > first:
                    yield self._part(first, number + 1, start, columns)
        except FileNotFoundError as error:
            raise UserError(f"no corpus at {self.path}: no such table") from error
        except OSError as error:
            raise UserError(f"cannot read the table {self.path}: {error.strerror}") from error

    def _columns(self, rows: "_Rows") -> tuple[int, int]:
        header = [name.lstrip("\ufeff") for name in next(rows, [])]
        for name in (self.image_column, self.caption_column):
            if name not in header:
                raise unknown(f"column of {self.path}", name, header)
        return header.index(self.image_column), header.index(self.caption_column)

    def _part(self, first: int, stop: int, start: int, columns: tuple[int, int]) -> "TableShard":
        name = f"{self.path.name}[{first}:{stop}]"
        return TableShard(name, self.path, self.images, start, first, stop - first, columns)


@dataclass(frozen=True)
class TableShard(Shard):
    """Consecutive rows of a table, from a position in bytes on."""

    name: str
    path: Path
    images: Path
    start: int
    first: int
    rows: int
    columns: tuple[int, int]

    def read(self, hashed: Hash | None = None) -> Iterator[tuple[str, Sample]]:
        """Yield (row number, {'jpg': image file, 'txt': caption}); a row without a readable image
        has no 'jpg'.
        """
        with self.path.open("rb") as stream:
            stream.seek(self.start)
            rows = _Rows(stream, self.path)
            for number in range(self.first, self.first + self.rows):
                sample = self._sample(next(rows, []))
                if hashed is not None:
                    for suffix, data in sample.items():
                        hashed.update(f"{number}.{suffix}:{len(data)}:".encode() + data)
                yield str(number), sample

    def _sample(self, row: list[str]) -> Sample:
        image, caption = (row[column] if column < len(row) else None for column in self.columns)
        sample = {} if caption is None else {"txt": caption.encode("utf-8", "surrogateescape")}
        encoded = self._image(image) if image else None
        return sample if encoded is None else {"jpg": encoded, **sample}

    def _image(self, name: str) -> bytes | None:
        relative = PurePath(name)
        if relative.is_absolute() or ".." in relative.parts:
            return None
        try:
            with (self.images / relative).open("rb") as stream:
                encoded = stream.read(MAX_MEMBER_BYTES + 1)
        except (OSError, ValueError):
            return None
        return encoded if len(encoded) <= MAX_MEMBER_BYTES else b""


class _Rows:
    """Rows of a table, and the position in bytes after the last one; bytes that are not UTF-8 are
    kept as they are.
    """

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self.stream, self.position = stream, stream.tell()
        self.reader = csv.reader(
            self._lines(), delimiter="," if path.suffix.lower() == ".csv" else "\t"
        )

    def _lines(self) -> Iterator[str]:
        for line in self.stream:
            self.position += len(line)
            yield line.decode("utf-8", "surrogateescape").replace("\0", "")

    def __iter__(self) -> "_Rows":
        return self

    def __next__(self) -> list[str]:
        try:
            return next(self.reader)
        except csv.Error:
            return []
