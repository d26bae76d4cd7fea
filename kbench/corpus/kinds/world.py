"""The embedded world as a corpus: generated scenes with captions whose probabilities are known."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from kbench.corpus.base import Corpus, Shard, caption_lines, sorted_files
from kbench.corpus.shards import TarShard
from kbench.locations import Locations


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

    @property
    def identity(self) -> dict[str, Any]:
        """What the world's folder is known by, which is as it was before `fresh_pairs`."""
        added = {"fresh_pairs"} if not self.fresh_pairs else set()
        return self.model_dump(mode="json", exclude=added)

    def shards(self, locations: Locations) -> list[Shard]:
        """Return the shards that `kbench world make` wrote."""
        return _shards(locations, "corpus")

    def held_out(self, locations: Locations) -> list[Shard]:
        """Return the shards of the separately seeded pairs."""
        return _shards(locations, "held-out") if self.held_out_pairs else []

    def captions(self, sample: Mapping[str, bytes]) -> list[str]:
        """Return the independently drawn captions of the scene."""
        return caption_lines(sample)


def _shards(locations: Locations, part: str) -> list[Shard]:
    return [TarShard.at(path) for path in sorted_files(locations.folder("world") / part)]
