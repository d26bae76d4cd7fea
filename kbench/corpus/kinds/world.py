"""The embedded world as a corpus: generated scenes with captions whose probabilities are known."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from kbench.corpus.base import Corpus, Shard, caption_lines, sorted_files
from kbench.corpus.shards import TarShard
from kbench.locations import Locations
from kbench.world_family import COLOURS, FEWEST, SHAPES, STEEPEST, Family

CLASSES = {
    "world-shape": ("shapes",),
    "world-colour": ("colours",),
    "world-shape-colour": ("shapes", "colours"),
    "world-attributes": ("shapes", "colours"),
}
"""Evaluation sets whose number of classes is that of the plain world, and by what it would change.
"""


class WorldCorpus(Corpus):
    """Pairs drawn from the embedded world's joint distribution."""

    kind: Literal["world"]
    name: str = "world"
    seed: int = Field(
        default=0, ge=0, lt=1 << 63, description="seed of the world's images and captions"
    )
    pairs: int = Field(
        default=20000, ge=64, le=10_000_000, description="number of images in the corpus"
    )
    evaluation_images: int = Field(
        default=1000,
        ge=42,
        le=10_000_000,
        description="images in each split of each evaluation set",
    )

    held_out_pairs: int = Field(
        default=0,
        ge=0,
        le=10_000_000,
        description="pairs for the held-out loss, drawn with their own seed",
    )

    fresh_pairs: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description=(
            "pairs of the set for the gap to PMI: 16384 are 64 batches; 0: 8 for each evaluation"
            " image, at most 4096"
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
    def identity(self) -> dict[str, Any]:
        """What the world's folder is known by, which is as it was before there were others."""
        added = {"fresh_pairs", *Family._fields}
        plain = {name for name in added if getattr(self, name) == _default(name)}
        return self.model_dump(mode="json", exclude=plain)

    @property
    def options(self) -> list[str]:
        """What `kbench world make` has to be told for this world, besides its folder."""
        settings = {
            "seed": self.seed,
            "pairs": self.pairs,
            "eval-images": self.evaluation_images,
            "held-out-pairs": self.held_out_pairs,
            "fresh-pairs": self.fresh_pairs,
            "shapes": self.shapes,
            "colours": self.colours,
            "specificity": self.specificity,
        }
        return [word for name, value in settings.items() for word in (f"--{name}", str(value))]

    def lacks(self, dataset: str) -> str | None:
        """Return that a set's classes are not all in a world of fewer shapes or colours."""
        for name in CLASSES.get(dataset, ()):
            if getattr(self, name) != _default(name):
                return f"its classes are those of a world with {name} {_default(name)}"
        return None

    def shards(self, locations: Locations) -> list[Shard]:
        """Return the shards that `kbench world make` wrote."""
        return _shards(locations, "corpus")

    def held_out(self, locations: Locations) -> list[Shard]:
        """Return the shards of the separately seeded pairs."""
        return _shards(locations, "held-out") if self.held_out_pairs else []

    def captions(self, sample: Mapping[str, bytes]) -> list[str]:
        """Return the independently drawn captions of the scene."""
        return caption_lines(sample)


def _default(name: str) -> Any:
    return WorldCorpus.model_fields[name].default


def _shards(locations: Locations, part: str) -> list[Shard]:
    return [TarShard.at(path) for path in sorted_files(locations.folder("world") / part)]
