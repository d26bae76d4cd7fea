"""Captioned images in webdataset shards, as CC3M and CC12M are distributed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from kbench.corpus.base import Corpus, caption_lines, sorted_shards
from kbench.locations import Locations


class WebdatasetCorpus(Corpus):
    """KEY.jpg and KEY.txt in tar files of one folder."""

    kind: Literal["webdataset"]
    folder: str = Field(description="folder below the data folder")
    pattern: str = Field(default="*.tar", description="shell pattern of the shards' names")

    def shards(self, locations: Locations) -> list[Path]:
        """Return the folder's shards."""
        return sorted_shards(locations.folder("data") / self.folder, self.pattern)

    def captions(self, sample: Mapping[str, bytes]) -> list[str]:
        """Return the lines of the caption file."""
        return caption_lines(sample)
