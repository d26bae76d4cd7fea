"""What a corpus was found to hold when every shard was read once."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kbench import files
from kbench.corpus.base import Corpus
from kbench.corpus.shards import decode_image, read_samples
from kbench.errors import UserError
from kbench.locations import Locations
from kbench.progress import track


class Shard(BaseModel):
    """One shard file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="file name")
    pairs: int = Field(description="image-text pairs it holds")
    sha256: str = Field(description="SHA-256 of the file")


class Manifest(BaseModel):
    """All shards of a corpus, in the order that streams use."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = 1
    corpus: str = Field(description="the corpus's name")
    pairs: int = Field(description="image-text pairs in all shards")
    shards: list[Shard] = Field(description="the shards that are trained on")
    held_out: list[Shard] = Field(default=[], description="the shards of the held-out loss")

    @property
    def sha256(self) -> str:
        """Identity of the corpus's content, held-out pairs included."""
        return files.canonical_hash([shard.sha256 for shard in self.shards + self.held_out], digits=64)


def verify(corpus: Corpus, locations: Locations) -> Manifest:
    """Read every shard, decode every image and caption, and return the manifest.

    Raises UserError naming the shard and the sample for anything that cannot be used.
    """
    training, held_out = corpus.shards(locations), corpus.held_out(locations)
    shards = [_verify_shard(corpus, path) for path in track(training + held_out, "verify", unit="shard")]
    shards, held_out = shards[: len(training)], shards[len(training) :]
    pairs = sum(shard.pairs for shard in shards)
    return Manifest(corpus=corpus.name, pairs=pairs, shards=shards, held_out=held_out)


def _verify_shard(corpus: Corpus, path: Path) -> Shard:
    keys: set[str] = set()
    for key, sample in read_samples(path):
        try:
            if key in keys:
                raise UserError("its key occurs twice")
            decode_image(sample)
            corpus.captions(sample)
        except UserError as error:
            raise UserError(f"shard {path}, sample '{key}': {error}") from error
        keys.add(key)
    if not keys:
        raise UserError(f"shard {path} holds no samples")
    return Shard(name=path.name, pairs=len(keys), sha256=files.sha256(path))


def read(path: Path) -> Manifest:
    """Read a manifest; UserError if it is not one."""
    try:
        return Manifest.model_validate(files.read_json(path))
    except ValidationError as error:
        raise UserError(f"{path} is not a corpus manifest: {error.errors()[0]['msg']}") from error
