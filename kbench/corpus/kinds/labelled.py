"""A labelled image set as a corpus: captions are made from class names."""

import itertools
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from kbench.corpus.base import Corpus, Shard, Unusable, sorted_files, split_held_out
from kbench.corpus.shards import TarShard
from kbench.locations import Locations


class LabelledCorpus(Corpus):
    """Images with a class index (.cls), as CLIP_benchmark's webdataset layout has them.

    A caption is a template filled with the class name or, more rarely, with a coarser word for it.
    """

    kind: Literal["labelled"]
    folder: str = Field(
        description="folder below the data folder, in CLIP_benchmark's webdataset layout"
    )
    split: str = Field(default="train", description="split to train on; never one that is scored")
    templates: tuple[str, ...] = Field(
        min_length=1, description="captions with {c} for the class word"
    )
    words: tuple[tuple[str, ...], ...] = Field(
        min_length=2,
        description="for each class its words; repeating a word makes it as much likelier",
    )

    held_out_shards: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="last shards, kept from training for the held-out loss",
    )

    def shards(self, locations: Locations) -> list[Shard]:
        """Return the shards of the split that are trained on."""
        return split_held_out(self._all(locations), self.held_out_shards)[0]

    def held_out(self, locations: Locations) -> list[Shard]:
        """Return the last shards, which are kept from training."""
        return split_held_out(self._all(locations), self.held_out_shards)[1]

    def _all(self, locations: Locations) -> list[Shard]:
        return [
            TarShard.at(path)
            for path in sorted_files(locations.folder("data") / self.folder / self.split)
        ]

    def captions(self, sample: Mapping[str, bytes]) -> list[str]:
        """Return every template with every word of the sample's class."""
        label = int(sample["cls"]) if sample.get("cls", b"").strip().isdigit() else -1
        if not 0 <= label < len(self.words):
            raise Unusable(
                "bad label",
                f"its label {sample.get('cls')!r} is not a class index from 0 to"
                f" {len(self.words) - 1}",
            )
        return [
            t.format(c=word) for t, word in itertools.product(self.templates, self.words[label])
        ]
