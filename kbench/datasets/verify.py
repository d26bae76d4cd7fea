"""Check a dataset's folder against its metadata: counts, class names and labels, and that splits
share no image.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kbench.corpus.base import IMAGE_SUFFIXES, Sample
from kbench.corpus.picture import decode_image
from kbench.datasets import texts
from kbench.datasets.dataset import Dataset
from kbench.datasets.fetch import changed
from kbench.datasets.reader import Split
from kbench.errors import UserError
from kbench.progress import track

Hashes = dict[bytes, str]
"""Key of the first sample with each image."""


@dataclass
class Verification:
    """What was found, and every difference from the metadata in one sentence each; notes are no
    differences.
    """

    images: dict[str, int] = field(default_factory=dict)
    captions: int | None = None
    repeated: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(dataset: Dataset, root: Path, pixels: bool = False) -> Verification:
    """Read every split of the dataset at `root` and return what differs from the metadata.

    Two images are the same if their files are, byte for byte; with `pixels`, which decodes every
    image, if their pixels are. Images that occur twice within one split are counted, but are no
    difference: published sets have them.
    """
    report = Verification()

    def check(part: Callable[[], None]) -> None:
        try:
            part()
        except UserError as error:
            report.problems.append(str(error))

    check(lambda: _kind(dataset, root))
    if dataset.has_classes:
        check(lambda: report.notes.extend(filter(None, [texts.other_spelling(dataset, root)])))
        check(lambda: texts.templates(dataset, root))
    report.problems += [f"{root / name} is not as it was downloaded" for name in changed(root)]
    earlier: dict[str, Hashes] = {}
    for name in dataset.splits:
        check(lambda name=name: _split(Split(dataset, root, name), pixels, earlier, report))
    return report


def _kind(dataset: Dataset, root: Path) -> None:
    path = root / "dataset_type.txt"
    kind = texts.lines(path)[0].lower() if path.is_file() else "classification"
    if kind != dataset.layout:
        raise UserError(
            f"{path} {'says' if path.is_file() else 'is absent, which means'} '{kind}', not"
            f" '{dataset.layout}'"
        )


def _split(split: Split, pixels: bool, earlier: dict[str, Hashes], report: Verification) -> None:
    hashes: Hashes = {}
    for key, sample in track(split.samples(), f"{split.dataset.name} {split.name}", unit="image"):
        with split.named(key):
            hashes.setdefault(_hash(sample, pixels), key)
    report.images[split.name] = split.size
    report.repeated[split.name] = split.size - len(hashes)
    for name, theirs in earlier.items():
        if shared := hashes.keys() & theirs.keys():
            keys = min((theirs[image], hashes[image]) for image in shared)
            report.problems.append(
                f"splits '{name}' and '{split.name}' share {len(shared)} images, such as samples"
                f" '{keys[0]}' and '{keys[1]}': a probe would be tested on what it was trained on"
            )
    earlier[split.name] = hashes
    if split.name == split.dataset.test_split:
        _test_labels(split, report)


def _hash(sample: Sample, pixels: bool) -> bytes:
    if pixels:
        image = decode_image(sample)
        return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()
    encoded = next((sample[suffix] for suffix in IMAGE_SUFFIXES if suffix in sample), None)
    if encoded is None:
        raise UserError(f"it has no image (.{', .'.join(IMAGE_SUFFIXES)})")
    return hashlib.sha256(encoded).digest()


def _test_labels(split: Split, report: Verification) -> None:
    dataset, labels = split.dataset, split.labels
    if dataset.has_classes:
        shown = np.nonzero(labels.targets)[1] if dataset.kind == "multi_label" else labels.targets
        absent = np.setdiff1d(np.arange(dataset.n_classes), shown)
        if len(absent):
            report.problems.append(
                f"{len(absent)} classes have no image in '{split.name}', the first is {absent[0]}"
            )
        return
    report.captions = len(labels.captions)
    if dataset.n_captions is not None and dataset.n_captions != report.captions:
        report.problems.append(
            f"'{split.name}' has {report.captions} captions, not {dataset.n_captions}"
        )
