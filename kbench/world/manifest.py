"""What a world's bytes depend on, and the manifest that says what was written."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from kbench import files
from kbench.errors import UserError
from kbench.records.section import Section
from kbench.world_family import COLOURS, FEWEST, SHAPES, STEEPEST, Family

# Raised whenever the same settings give other bytes: drawings, probabilities, layout.
VERSION = 1
MANIFEST = "world.json"
MOST_CLASSES = 42
"""Classes of the evaluation set that has most of them; each needs an image."""


class WorldSettings(Section):
    """What the bytes of a world depend on."""

    seed: int = Field(default=0, ge=0, lt=1 << 63, description="seed of everything that is drawn")
    pairs: int = Field(
        default=20_000, ge=1, le=10_000_000, description="images in the corpus, ten captions each"
    )
    eval_images: int = Field(
        default=1000,
        ge=MOST_CLASSES,
        description=(
            "images in each split of the sets of shapes; the other evaluation sets shrink with it"
        ),
    )

    held_out_pairs: int = Field(
        default=0,
        ge=0,
        le=10_000_000,
        description=(
            "fresh pairs for choosing settings and checkpoints; they appear in nothing reported"
        ),
    )

    fresh_pairs: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description=(
            "pairs for the gap to PMI; 0: 4,096, sixteen batches of 256, or eight for each of"
            " eval_images where these are fewer"
        ),
    )

    shapes: int = Field(default=SHAPES, ge=FEWEST, le=SHAPES, description="shapes that there are")
    colours: int = Field(
        default=COLOURS, ge=FEWEST, le=COLOURS, description="colours that shapes have"
    )
    specificity: float = Field(
        default=0.0,
        ge=-STEEPEST,
        le=STEEPEST,
        allow_inf_nan=False,
        description=(
            "how many attributes captions name: each makes a caption more frequent by this number's"
            " exponential"
        ),
    )

    @property
    def family(self) -> Family:
        """Which world it is, whatever is drawn of it."""
        return Family(self.shapes, self.colours, self.specificity)

    @property
    def retrieval_images(self) -> int:
        """Half of eval_images: 500 by default."""
        return self.eval_images // 2

    @property
    def number_of_fresh_pairs(self) -> int:
        """As many as asked for; else 4,096, unless the evaluation sets are small."""
        return self.fresh_pairs or min(4096, 8 * self.eval_images)

    def digit_images(self, available: int) -> int:
        """All that are available, unless the evaluation sets are small."""
        return min(available, 2 * self.eval_images)


def settings_of(values: Mapping[str, Any]) -> WorldSettings:
    """Return settings from those of a command's options that were given; UserError, naming the
    option, if one is out of its range.
    """
    try:
        return WorldSettings(**values)
    except ValidationError as error:
        problem = error.errors()[0]
        option = "--" + str(problem["loc"][0]).replace("_", "-")
        raise UserError(f"{option} {problem['input']}: {problem['msg'].lower()}") from error


class WorldFile(Section):
    """Size and content of one file."""

    bytes: int
    sha256: str


class WorldManifest(Section):
    """What world.json says."""

    schema_version: Literal[1] = 1
    world_version: int = VERSION
    settings: WorldSettings
    samples: dict[str, int] = Field(description="number of images by folder of shards")
    files: dict[str, WorldFile] = Field(description="every other file, by its path in the folder")


def read_manifest(folder: Path) -> WorldManifest:
    """Return the manifest of a world; UserError if there is none or it is not one that this kbench
    can read.
    """
    try:
        return WorldManifest.model_validate(files.read_json(folder / MANIFEST))
    except ValidationError as error:
        raise UserError(
            f"{folder / MANIFEST} is no manifest that this kbench can read: {error}"
        ) from error


def is_complete(folder: Path, settings: WorldSettings, sets: Iterable[str]) -> bool:
    """Return whether the folder holds all files of the world with these settings, each of its right
    size, and the sets of these names: releases before may not have had all of them.

    Raises UserError if it holds a world of another version or other settings, or something that is
    not a world.
    """
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; the embedded world needs a folder")
    if not (folder / MANIFEST).is_file():
        _refuse_foreign(folder)
        return False
    manifest = read_manifest(folder)
    _refuse_different(folder, manifest, settings)
    return all(f"benchmark/{name}/test" in manifest.samples for name in sets) and all(
        _size(folder / name) == file.bytes for name, file in manifest.files.items()
    )


def _refuse_foreign(folder: Path) -> None:
    foreign = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.name not in ("corpus", "held-out", "benchmark")
    )
    if foreign:
        raise UserError(
            f"{folder} holds '{foreign[0]}', which is no part of a world: choose another folder or"
            " empty it"
        )


def _refuse_different(folder: Path, manifest: WorldManifest, settings: WorldSettings) -> None:
    there = {"version": manifest.world_version, **manifest.settings.model_dump()}
    asked = {"version": VERSION, **settings.model_dump()}
    different = [
        f"{key} {there[key]} instead of {asked[key]}" for key in asked if there[key] != asked[key]
    ]
    if different:
        raise UserError(
            f"{folder} holds a world with {', '.join(different)}: choose another folder or"
            " remove it"
        )


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
