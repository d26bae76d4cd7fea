"""Captioned images in webdataset shards, as CC3M and CC12M are distributed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from kbench.corpus.base import Corpus, Shard, caption_lines
from kbench.corpus.shards import TarShard, expand
from kbench.locations import Locations
from kbench.records.section import Section


class WeightedShards(Section):
    """Shards, and how often an epoch passes over them."""

    shards: str = Field(
        description=(
            "pattern of the shards below the data folder, or a URL: cc3m/{00000..00331}.tar,"
            " hf://..., s3://..."
        )
    )
    weight: float = Field(
        default=1.0,
        gt=0,
        le=1000,
        description=(
            "passes over these shards in an epoch; 0.5: a half of them, drawn anew each time"
        ),
    )


def _plain(source: Any) -> Any:
    return {"shards": source} if isinstance(source, str) else source


class WebdatasetCorpus(Corpus):
    """KEY.jpg and KEY.txt in tar files, local or remote, of one source or several."""

    kind: Literal["webdataset"]
    sources: tuple[Annotated[WeightedShards, BeforeValidator(_plain)], ...] = Field(
        min_length=1,
        description=(
            "patterns of shards, braces and * expanded, or {shards: pattern, weight: number}"
        ),
    )
    held_out_sources: tuple[str, ...] = Field(
        default=(), description="patterns of shards kept from training for the held-out loss"
    )

    def shards(self, locations: Locations) -> list[Shard]:
        """Return the shards of all sources."""
        return [
            shard
            for source in self.sources
            for shard in _expand(source.shards, locations, source.weight)
        ]

    def held_out(self, locations: Locations) -> list[Shard]:
        """Return the shards that are kept from training."""
        return [shard for pattern in self.held_out_sources for shard in _expand(pattern, locations)]

    def captions(self, sample: Mapping[str, bytes]) -> list[str]:
        """Return the lines of the caption file."""
        return caption_lines(sample)


def _expand(pattern: str, locations: Locations, weight: float = 1.0) -> list[TarShard]:
    # Remote shards need no data folder.
    return expand(pattern, Path() if "://" in pattern else locations.folder("data"), weight)
