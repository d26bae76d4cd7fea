"""Writing the embedded world to a folder: corpus, evaluation sets and, last, the manifest."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kbench import files
from kbench.progress import track
from kbench.seeds import derive
from kbench.world import streams
from kbench.world.captions import TEMPLATES, describe
from kbench.world.digits import DigitImages, digit_images
from kbench.world.manifest import MANIFEST, WorldFile, WorldManifest, WorldSettings, is_complete
from kbench.world.model import World
from kbench.world.scenes import DIGITS
from kbench.world.shards import write_shards

CAPTIONED = {
    "world-retrieval": streams.retrieval,
    "world-negatives": streams.negatives,
    "world-pairs": streams.pairs,
}
"""Sets of images with captions, and what draws each."""

ATTRIBUTES_SET = "world-attributes"
"""Shapes labelled with each of their attributes."""


@dataclass(frozen=True)
class _Part:
    """One folder of shards, its number of samples and the stream of them."""

    folder: str
    number: int
    stream: Iterator[streams.Sample]
    shard: str = "{}.tar"


def make(output: Path, settings: WorldSettings) -> bool:
    """Write the world to the folder `output`, whole or not at all; return False if it was there
    already.

    A world with the same settings of which files are missing or cut short is written again. Raises
    UserError if `output` holds a world of other settings or version, or anything else, or cannot be
    written.
    """
    try:
        if is_complete(output, settings, [*CAPTIONED, ATTRIBUTES_SET]):
            return False
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{output.name}.", suffix=".part", dir=output.parent
        ) as scratch:
            folder = Path(scratch) / "world"
            _write(folder, settings)
            if output.exists():
                os.replace(output, Path(scratch) / "damaged")
            os.replace(folder, output)
    except OSError as error:
        raise files.unwritable(output, error) from error
    return True


def _write(folder: Path, settings: WorldSettings) -> None:
    world = World(settings.family)
    training, held_out = digit_images()
    parts = [
        _corpus(world, settings, training),
        *_held_out(world, settings, training),
        *_classification(world, settings, "train", training),
        *_classification(world, settings, "test", held_out),
        *_captioned(world, settings, training),
        _attributes(world, settings),
    ]
    for part in track(parts, "embedded world", unit="folder"):
        shards = write_shards(folder / part.folder, part.stream, part.shard)
        if part.folder.startswith("benchmark/"):
            _write_lines(folder / part.folder / "nshards.txt", [str(shards)])
    _write_classes(folder / "benchmark", world)
    _write_manifest(folder, settings, parts)


def _corpus(world: World, settings: WorldSettings, digits: DigitImages) -> _Part:
    stream = streams.corpus(world, _generator(settings, "corpus"), settings.pairs, digits)
    return _Part("corpus", settings.pairs, stream, shard="{:05d}.tar")


def _held_out(world: World, settings: WorldSettings, digits: DigitImages) -> Iterator[_Part]:
    if settings.held_out_pairs:
        stream = streams.pairs(
            world, _generator(settings, "held-out"), settings.held_out_pairs, digits
        )
        yield _Part("held-out", settings.held_out_pairs, stream, shard="{:05d}.tar")


def _classification(
    world: World, settings: WorldSettings, split: str, digits: DigitImages
) -> Iterator[_Part]:
    for name in streams.SHAPE_SETS:
        stream = streams.shapes(
            world, _generator(settings, name, split), settings.eval_images, name
        )
        yield _Part(f"benchmark/{name}/{split}", settings.eval_images, stream)
    number = settings.digit_images(sum(map(len, digits.values())))
    stream = streams.digits(world, _generator(settings, "world-digits", split), number, digits)
    yield _Part(f"benchmark/world-digits/{split}", number, stream)


def _captioned(world: World, settings: WorldSettings, digits: DigitImages) -> Iterator[_Part]:
    numbers = (settings.retrieval_images, settings.retrieval_images, settings.number_of_fresh_pairs)
    for (name, draw), number in zip(CAPTIONED.items(), numbers, strict=True):
        stream = draw(world, _generator(settings, name, "test"), number, digits)
        yield _Part(f"benchmark/{name}/test", number, stream)


def _attributes(world: World, settings: WorldSettings) -> _Part:
    generator, number = _generator(settings, ATTRIBUTES_SET, "test"), settings.eval_images
    stream = streams.attributes(world, generator, number)
    return _Part(f"benchmark/{ATTRIBUTES_SET}/test", number, stream)


def _generator(settings: WorldSettings, *use: str) -> np.random.Generator:
    return np.random.default_rng(derive("world", settings.seed, *use))


def _write_classes(folder: Path, world: World) -> None:
    """Name classes by captions, so that with each of the captions' own templates a prompt is what
    the world says.
    """
    classes = {name: list(streams.shape_classes(world, name)) for name in streams.SHAPE_SETS}
    classes["world-digits"] = [describe(glyph=digit) for digit in DIGITS]
    classes[ATTRIBUTES_SET] = [
        describe(**{name: word}) for name, word in streams.shape_words(world)
    ]
    for name, labels in classes.items():
        _write_lines(folder / name / "classnames.txt", labels)
        _write_lines(folder / name / "zeroshot_classification_templates.txt", list(TEMPLATES))
    for name in CAPTIONED:
        _write_lines(folder / name / "dataset_type.txt", ["retrieval"])
    _write_lines(folder / ATTRIBUTES_SET / "dataset_type.txt", ["multilabel"])


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_manifest(folder: Path, settings: WorldSettings, parts: list[_Part]) -> None:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = WorldManifest(
        settings=settings,
        samples={part.folder: part.number for part in parts},
        files={
            path.relative_to(folder).as_posix(): WorldFile(
                bytes=path.stat().st_size, sha256=files.sha256(path)
            )
            for path in paths
        },
    )
    files.write_json(folder / MANIFEST, manifest.model_dump())
