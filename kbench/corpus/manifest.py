"""What a corpus was found to hold when every shard was read once."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from pydantic import Field, ValidationError

from kbench import files
from kbench.corpus import picture
from kbench.corpus.base import Corpus, Damaged, Shard, Unusable
from kbench.errors import UserError
from kbench.locations import Locations
from kbench.progress import bar
from kbench.records.section import Section


class ShardRecord(Section):
    """One shard."""

    name: str = Field(
        description="name of the file, below the data folder or as a URL; of a table, with its rows"
    )
    pairs: int = Field(description="image-text pairs in it that can be trained on")
    sha256: str = Field(description="SHA-256 of its content")
    unusable: dict[str, list[int]] = Field(
        default={},
        description=(
            "places of the samples that streams pass over, counted from 0, by what is wrong"
        ),
    )
    damaged: str | None = Field(
        default=None, description="what ended the shard early, if anything did"
    )
    unusual: dict[str, int] = Field(
        default={}, description="images used although they are unusual, by how they are"
    )
    example: str | None = Field(default=None, description="the first thing wrong with it, in words")

    @property
    def passed_over(self) -> set[int]:
        """Places of the samples that are not used."""
        return {place for places in self.unusable.values() for place in places}

    @property
    def samples(self) -> int:
        """Number of samples read, used or not."""
        return self.pairs + len(self.passed_over)


class Manifest(Section):
    """All shards of a corpus, in the order that streams use."""

    schema_version: int = Field(
        default=2, description="version of the schema that the document obeys"
    )
    corpus: str = Field(description="the corpus's name")
    pairs: int = Field(
        description=(
            "image-text pairs in an epoch: as declared, or all usable ones, sources weighted"
        )
    )
    shards: list[ShardRecord] = Field(description="the shards that are trained on")
    held_out: list[ShardRecord] = Field(default=[], description="the shards of the held-out loss")

    @property
    def sha256(self) -> str:
        """Identity of the corpus's content, held-out pairs included."""
        return files.canonical_hash(
            [shard.sha256 for shard in self.shards + self.held_out], digits=64
        )

    @property
    def problems(self) -> dict[str, int]:
        """Number of samples passed over and of damaged shards, by kind; held-out ones included."""
        counts: Counter[str] = Counter()
        for shard in self.shards + self.held_out:
            counts.update({kind: len(places) for kind, places in shard.unusable.items()})
            counts.update([shard.damaged] if shard.damaged else [])
        return dict(counts.most_common())

    @property
    def unusual(self) -> dict[str, int]:
        """Number of images used although they are unusual, by kind; an unusual one may count
        twice.
        """
        counts: Counter[str] = Counter()
        for shard in self.shards + self.held_out:
            counts.update(shard.unusual)
        return dict(counts.most_common())

    def summary(self) -> list[str]:
        """Return one line on what there is, and one for each kind of what was passed over or is
        unusual.
        """
        shards = self.shards + self.held_out
        usable = sum(shard.pairs for shard in shards)
        lines = [
            f"{self.corpus}: {usable} usable pairs in {len(shards)} shards; {self.pairs} make an"
            " epoch"
        ]
        lines += [f"  passed over: {kind} {number}" for kind, number in self.problems.items()]
        return lines + [
            f"  used as it is: {kind} {number}" for kind, number in self.unusual.items()
        ]


def verify(corpus: Corpus, locations: Locations, processes: int = 1) -> Manifest:
    """Read every shard, decode every image and caption, and return the manifest.

    Raises UserError naming the first bad sample if more are bad than the corpus's `max_unusable`
    allows.
    """
    training, held_out = corpus.shards(locations), corpus.held_out(locations)
    verified = []
    with bar("verify", len(training + held_out), unit="shard") as shown:
        for shard in _inspect_all(corpus, training + held_out, processes):
            verified.append(shard)
            shown.update()
    shards = verified[: len(training)]
    weighted = sum(
        shard.pairs * source.weight for shard, source in zip(shards, training, strict=True)
    )
    manifest = Manifest(
        corpus=corpus.name,
        pairs=corpus.samples or round(weighted),
        shards=shards,
        held_out=verified[len(training) :],
    )
    _refuse_too_many(corpus, manifest)
    _refuse_overlap(manifest)
    return manifest


def _refuse_overlap(manifest: Manifest) -> None:
    """Raise UserError if a shard is both trained on and held out, whatever it is called."""
    trained_on = {shard.sha256: shard.name for shard in manifest.shards}
    for shard in manifest.held_out:
        if shard.sha256 in trained_on:
            raise UserError(
                f"corpus '{manifest.corpus}': held-out shard {shard.name} has the same content as"
                f" {trained_on[shard.sha256]}, which is trained on: the held-out loss would be of"
                " pairs that were seen"
            )


def _inspect_all(corpus: Corpus, sources: list[Shard], processes: int) -> Iterator[ShardRecord]:
    if processes == 1:
        yield from map(partial(_inspect, corpus), sources)
    else:
        with ProcessPoolExecutor(processes) as pool:
            yield from pool.map(partial(_inspect, corpus), sources)


def _inspect(corpus: Corpus, source: Shard) -> ShardRecord:
    """Read a shard to its end."""
    digest, keys, pairs, damaged, examples = hashlib.sha256(), set(), 0, None, []
    unusable: dict[str, list[int]] = {}
    unusual: Counter[str] = Counter()
    try:
        for place, (key, sample) in enumerate(source.read(digest)):
            try:
                if key in keys:
                    raise Unusable("duplicate key", "its key occurs twice")
                keys.add(key)
                corpus.captions(sample)
                unusual.update(picture.check(picture.encoded_image(sample)))
                pairs += 1
            except Unusable as error:
                unusable.setdefault(error.kind, []).append(place)
                examples.append(f"shard {source.name}, sample '{key}': {error}")
    except Damaged as error:
        damaged = error.kind
        examples.append(str(error))
    if not keys and damaged is None:
        damaged = "empty shard"
        examples.append(f"shard {source.name} holds no samples")
    return ShardRecord(
        name=source.name,
        pairs=pairs,
        sha256=digest.hexdigest(),
        unusable=unusable,
        damaged=damaged,
        unusual=dict(unusual),
        example=examples[0] if examples else None,
    )


def _refuse_too_many(corpus: Corpus, manifest: Manifest) -> None:
    shards = manifest.shards + manifest.held_out
    parts = {
        "shards": (sum(shard.damaged is not None for shard in shards), len(shards)),
        "samples": (
            sum(len(shard.passed_over) for shard in shards),
            sum(shard.samples for shard in shards),
        ),
    }
    for what, (bad, number) in parts.items():
        if bad > corpus.max_unusable * number:
            kinds = ", ".join(f"{kind} {count}" for kind, count in manifest.problems.items())
            example = next(shard.example for shard in shards if shard.example)
            raise UserError(
                f"corpus '{corpus.name}': {bad} of {number} {what} cannot be used, more than"
                f" max_unusable = {corpus.max_unusable:g} allows ({kinds}); the first: {example}"
            )
    if manifest.pairs == 0 or not any(shard.pairs for shard in manifest.shards):
        raise UserError(f"corpus '{corpus.name}' has no usable pairs")


def read(path: Path) -> Manifest:
    """Read a manifest; UserError if it is not one."""
    try:
        return Manifest.model_validate(files.read_json(path))
    except ValidationError as error:
        raise UserError(f"{path} is not a corpus manifest: {error.errors()[0]['msg']}") from error
