"""Read an evaluation dataset in CLIP_benchmark's webdataset layout."""

import contextlib
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kbench import files
from kbench.corpus.base import Sample, caption_lines
from kbench.corpus.picture import encoded_image, rgb
from kbench.corpus.shards import count_samples, read_samples
from kbench.datasets.dataset import Dataset
from kbench.datasets.texts import lines
from kbench.datasets.transform import Transform
from kbench.errors import UserError, unknown
from kbench.records import strict_json
from kbench.world_family import Family

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
"""Readers of what precedes the numbers in a .npy file, by its version."""


@dataclass
class Labels:
    """What is known of each image of a split besides its pixels; lists are filled as images are
    read.
    """

    targets: list[int] | list[np.ndarray] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    caption_images: list[int] = field(default_factory=list)
    scenes: list[int] = field(default_factory=list)
    caption_indices: list[int] = field(default_factory=list)
    worlds: list[Family] = field(default_factory=list)


class Split:
    """One split of a dataset below `root`.

    Raises UserError for a split that the dataset does not have, a missing shard, another number of
    images than the published one, or labels that do not fit.
    """

    def __init__(self, dataset: Dataset, root: Path, name: str) -> None:
        if name not in dataset.splits:
            raise unknown(f"split of dataset '{dataset.name}'", name, dataset.splits)
        self.dataset, self.root, self.name = dataset, root, name
        self.shards = {shard: count_samples(shard) for shard in _shards(root / name)}
        self.size = sum(self.shards.values())
        expected = dataset.splits[name]
        if self.size == 0:
            raise UserError(f"dataset '{dataset.name}', split '{name}' at {root} holds no images")
        if expected is not None and self.size != expected:
            raise UserError(
                f"dataset '{dataset.name}', split '{name}' has {self.size} images, not {expected}"
            )
        self.labels = Labels()

    def samples(self, within: range | None = None) -> Iterator[tuple[str, Sample]]:
        """Yield (key, members by suffix) of every image in order, or of those whose numbers are
        `within`, filling `labels` with theirs. Shards that hold none of them are not read.
        """
        self.labels = Labels()
        for index, (key, sample) in self._numbered(range(self.size) if within is None else within):
            with self.named(key):
                self._read_labels(index, sample)
            yield key, sample

    def _numbered(self, within: range) -> Iterator[tuple[int, tuple[str, Sample]]]:
        for shard, first in self._holding(within):
            numbered = enumerate(read_samples(shard), first)
            yield from (sample for sample in numbered if sample[0] in within)

    def holding(self, within: range) -> list[Path]:
        """Return the shards in which the images lie whose numbers are `within`."""
        return [shard for shard, _ in self._holding(within)]

    def _holding(self, within: range) -> Iterator[tuple[Path, int]]:
        """Yield each of these shards and the number of its first image."""
        first = 0
        for shard, count in self.shards.items():
            if max(first, within.start) < min(first + count, within.stop):
                yield shard, first
            first += count

    def batches(self, batch_size: int, transform: Transform) -> Iterator[np.ndarray]:
        """Yield uint8 images (B, S, S, 3) as the transform makes them, filling `labels`."""
        for (batch,) in self.crops(batch_size, [transform]):
            yield batch

    def crops(
        self, batch_size: int, transforms: Sequence[Transform], within: range | None = None
    ) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield of each transform a batch (B, S, S, 3) uint8, every image, or every one `within`,
        decoded once; fills `labels`.
        """
        samples = self.samples(within)
        crops = (self._transformed(key, sample, transforms) for key, sample in samples)
        while part := list(itertools.islice(crops, batch_size)):
            yield tuple(np.stack(batch) for batch in zip(*part, strict=True))

    @contextlib.contextmanager
    def named(self, key: str) -> Iterator[None]:
        """Name dataset, split and sample in the message of a UserError raised inside."""
        try:
            yield
        except UserError as error:
            raise UserError(
                f"dataset '{self.dataset.name}', split '{self.name}', sample '{key}': {error}"
            ) from error

    def _transformed(
        self, key: str, sample: Sample, transforms: Sequence[Transform]
    ) -> list[np.ndarray]:
        with self.named(key):
            image = rgb(encoded_image(sample))
            return [transform(image) for transform in transforms]

    def _check_choice(self, captions: int) -> None:
        """Raise UserError if an image leaves no choice, or another one than the first does: then
        guessing has no level.
        """
        first = self.labels.caption_images.count(0) or captions
        if captions < 2 or captions != first:
            raise UserError(
                f"it has {captions} captions; legal: at least 2, and as many as the first image,"
                f" {first}"
            )

    def _read_labels(self, index: int, sample: Sample) -> None:
        if self.dataset.has_classes:
            read = _targets if self.dataset.kind == "multi_label" else _target
            self.labels.targets.append(read(sample, self.dataset.n_classes))
            return
        captions = _captions(sample)
        if self.dataset.kind == "image_caption_selection":
            self._check_choice(len(captions))
        self.labels.captions += captions
        self.labels.caption_images += [index] * len(captions)
        if self.dataset.kind == "pairs":
            scene, caption, world = _pair(sample)
            self.labels.scenes.append(scene)
            self.labels.caption_indices.append(caption)
            self.labels.worlds.append(world)


def _pair(sample: Sample) -> tuple[int, int, Family]:
    """Return the numbers of a pair's scene and caption, and the world that has them; UserError if
    the sample has none.
    """
    try:
        pair = strict_json.parse(sample["json"].decode())
        return int(pair["scene"]), int(pair["caption"]), Family.of(pair.get("world", Family()))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"a pair of {sample.get('__key__', '?')} has no scene and caption: {error}"
        ) from error


def hashes(root: Path, paths: Iterable[Path] | None = None) -> dict[str, str]:
    """Return the SHA-256 of shards and text files of a dataset by their names below its root: of
    these, or of all.
    """
    if paths is None:
        paths = (p for p in root.rglob("*") if p.suffix in (".tar", ".txt") and p.is_file())
    return {str(path.relative_to(root)): files.sha256(path) for path in sorted(paths)}


def digest(root: Path, known: dict[str, str] | None = None) -> str:
    """Return a SHA-256 over the names and contents of all shards and text files of a dataset;
    known: what `hashes` says of all of them.
    """
    contents = hashes(root) if known is None else known
    return files.canonical_hash([[name, sha256] for name, sha256 in contents.items()], digits=64)


def shard_count(folder: Path) -> int:
    """Return how many shards a split's nshards.txt promises; UserError if it says no positive
    number.
    """
    count = lines(folder / "nshards.txt")[0]
    if not count.isdecimal() or int(count) < 1:
        raise UserError(f"{folder / 'nshards.txt'} says '{count}', not a number of shards")
    return int(count)


def _shards(folder: Path) -> list[Path]:
    shards = [folder / f"{index}.tar" for index in range(shard_count(folder))]
    for shard in shards:
        if not shard.is_file():
            raise UserError(f"shard {shard} is missing; nshards.txt promises {len(shards)}")
    return shards


def _captions(sample: Sample) -> list[str]:
    """Return every line of the sample's .txt member, empty ones too: CLIP_benchmark asks with
    each.
    """
    caption_lines(sample)  # refuses what is absent, huge, not UTF-8 or nothing but blank
    return sample["txt"].decode("utf-8").splitlines()


def _targets(sample: Sample, n_classes: int) -> np.ndarray:
    """Return which classes an image shows, (C,) uint8, from the sample's .npy member."""
    member = io.BytesIO(sample.get("npy", b""))
    try:
        # The header is read first: it can claim any size.
        version = np.lib.format.read_magic(member)
        shape, _, dtype = HEADERS[version](member)
    except (ValueError, KeyError) as error:
        raise UserError(f"its labels are no .npy array: {error}") from error
    legal = f"({n_classes},) numbers, each 0 or 1"
    if shape != (n_classes,) or dtype.kind not in "biuf":
        raise UserError(f"its labels are {shape} of type {dtype}; legal: {legal}")
    values = np.frombuffer(member.read(), dtype)
    if values.shape != shape or not np.isin(values, (0, 1)).all():
        raise UserError(f"its labels are cut off, or not all 0 or 1; legal: {legal}")
    return values.astype(np.uint8)


def _target(sample: Sample, n_classes: int | None) -> int:
    text = sample.get("cls", b"").strip()
    if not text.isdigit() or n_classes is None or int(text) >= n_classes:
        raise UserError(
            f"its label {text.decode(errors='replace')!r} is not a class index below {n_classes}"
        )
    return int(text)
