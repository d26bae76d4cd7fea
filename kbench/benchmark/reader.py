"""Read an evaluation dataset in CLIP_benchmark's webdataset layout."""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kbench import files
from kbench.benchmark.dataset import Dataset
from kbench.corpus.base import caption_lines
from kbench.corpus.crop import centred_square, resize
from kbench.corpus.shards import Sample, decode_image, read_samples
from kbench.errors import UserError


@dataclass
class Labels:
    """What is known of each image of a split besides its pixels; lists are filled as images are read."""

    targets: list[int] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    caption_images: list[int] = field(default_factory=list)
    scenes: list[int] = field(default_factory=list)
    caption_indices: list[int] = field(default_factory=list)


class Split:
    """One split of a dataset below `root`. Raises UserError for a missing shard or labels that do not fit."""

    def __init__(self, dataset: Dataset, root: Path, name: str) -> None:
        self.dataset, self.root, self.name = dataset, root, name
        self.shards = _shards(root / name)
        self.size = sum(map(_count, self.shards))
        expected = (
            dataset.n_test if name == dataset.test_split else dataset.n_train if name == dataset.train_split else None
        )
        if self.size == 0:
            raise UserError(f"dataset '{dataset.name}', split '{name}' at {root} holds no images")
        if expected is not None and self.size != expected:
            raise UserError(f"dataset '{dataset.name}', split '{name}' has {self.size} images, not {expected}")
        self.labels = Labels()

    def batches(self, batch_size: int, image_size: int) -> Iterator[np.ndarray]:
        """Yield uint8 images (B, S, S, 3), resized on the short side and centre-cropped, filling `labels`."""
        self.labels = Labels()
        images: list[np.ndarray] = []
        for index, (key, sample) in enumerate(s for shard in self.shards for s in read_samples(shard)):
            try:
                image = decode_image(sample)
                self._read_labels(index, sample)
            except UserError as error:
                raise UserError(
                    f"dataset '{self.dataset.name}', split '{self.name}', sample '{key}': {error}"
                ) from error
            images.append(resize(image, centred_square(*image.shape[:2]), image_size))
            if len(images) == batch_size:
                yield np.stack(images)
                images = []
        if images:
            yield np.stack(images)

    def _read_labels(self, index: int, sample: Sample) -> None:
        if self.dataset.kind == "classification":
            self.labels.targets.append(_target(sample, self.dataset.n_classes))
            return
        lines = caption_lines(sample)
        self.labels.captions += lines
        self.labels.caption_images += [index] * len(lines)
        if self.dataset.kind == "pairs":
            pair = json.loads(sample["json"])
            self.labels.scenes.append(pair["scene"])
            self.labels.caption_indices.append(pair["caption"])


def class_names(dataset: Dataset, root: Path) -> list[str]:
    """Return the class names in label order; UserError if their number is not the dataset's."""
    names = _lines(root / "classnames.txt")
    if len(names) != dataset.n_classes:
        raise UserError(
            f"{root / 'classnames.txt'} names {len(names)} classes; '{dataset.name}' has {dataset.n_classes}"
        )
    return names


def templates(dataset: Dataset, root: Path) -> list[str]:
    """Return the prompt templates, with {c} for the class; UserError if one lacks it."""
    found = _lines(root / dataset.prompts)
    for template in found:
        if "{c}" not in template:
            raise UserError(f"{root / dataset.prompts}: the template '{template}' has no {{c}} for the class name")
    return found


def digest(root: Path) -> str:
    """Return a SHA-256 over the names and contents of all files of a dataset."""
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return files.canonical_hash([[str(path.relative_to(root)), files.sha256(path)] for path in paths], digits=64)


def _lines(path: Path) -> list[str]:
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if not lines:
        raise UserError(f"{path} is empty")
    return lines


def _shards(folder: Path) -> list[Path]:
    count = _lines(folder / "nshards.txt")[0].strip()
    if not count.isdigit() or int(count) < 1:
        raise UserError(f"{folder / 'nshards.txt'} says '{count}', not a number of shards")
    shards = [folder / f"{index}.tar" for index in range(int(count))]
    for shard in shards:
        if not shard.is_file():
            raise UserError(f"shard {shard} is missing; nshards.txt promises {count}")
    return shards


def _count(shard: Path) -> int:
    """Count the samples of a shard from its headers alone."""
    try:
        with tarfile.open(shard) as archive:
            return len({member.name.split(".", 1)[0] for member in archive if member.isreg()})
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"shard {shard} is truncated or not a tar file: {error}") from error


def _target(sample: Sample, n_classes: int | None) -> int:
    text = sample.get("cls", b"").strip()
    if not text.isdigit() or n_classes is None or int(text) >= n_classes:
        raise UserError(f"its label {text.decode(errors='replace')!r} is not a class index below {n_classes}")
    return int(text)
