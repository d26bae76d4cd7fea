"""Captioned images in webdataset shards, as CC3M and CC12M are distributed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from kbench.corpus.base import Corpus, caption_lines, sorted_shards, split_held_out
from kbench.locations import Locations


class WebdatasetCorpus(Corpus):
    """KEY.jpg and KEY.txt in tar files of one folder."""

    kind: Literal["webdataset"]
    folder: str = Field(description="folder below the data folder")
    pattern: str = Field(default="*.tar", description="shell pattern of the shards' names")

    held_out_shards: int = Field(default=0, ge=0, description="last shards, kept from training for the held-out loss")

    def shards(self, locations: Locations) -> list[Path]:
        """Return the folder's shards that are trained on."""
        return split_held_out(self._all(locations), self.held_out_shards)[0]

    def held_out(self, locations: Locations) -> list[Path]:
        """Return the last shards, which are kept from training."""
        return split_held_out(self._all(locations), self.held_out_shards)[1]

    def _all(self, locations: Locations) -> list[Path]:
        return sorted_shards(locations.folder("data") / self.folder, self.pattern)

    def captions(self, sample: Mapping[str, bytes]) -> list[str]:
        """Return the lines of the caption file."""
        return caption_lines(sample)
