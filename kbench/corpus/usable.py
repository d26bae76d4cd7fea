"""The pairs of a shard that its manifest calls usable."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from kbench.corpus import picture
from kbench.corpus.base import Corpus, Shard
from kbench.corpus.manifest import Shard as Verified
from kbench.errors import UserError
from kbench.seeds import derive


class Pair(NamedTuple):
    """A sample: its image and the captions one of which is drawn at each use. `origin` says where
    it is from.
    """

    picture: picture.Picture
    captions: list[str]
    origin: str


@dataclass(frozen=True)
class UsableShard:
    """A shard and what was found in it."""

    corpus: Corpus
    source: Shard
    verified: Verified

    @property
    def pairs(self) -> int:
        """Number of usable pairs."""
        return self.verified.pairs

    def read(self, size: int) -> Iterator[Pair]:
        """Yield the usable pairs, in order, their pictures held for crops of `size`.

        What is unusable is known by its place and passed over before it is decoded, so that which
        pairs there are never depends on what a decoder does. Raises UserError if the shard is not
        as it was when it was verified.
        """
        passed_over, count = self.verified.passed_over, 0
        # Not one sample further than was verified: what follows may be damaged.
        samples = itertools.islice(self.source.read(), self.verified.samples)
        for place, (key, sample) in enumerate(samples):
            if place in passed_over:
                continue
            origin = f"shard {self.source.name}, sample '{key}'"
            try:
                yield Pair(
                    picture.hold(picture.encoded_image(sample), size),
                    self.corpus.captions(sample),
                    origin,
                )
            except UserError as error:
                raise changed(origin, error) from error
            count += 1
        if count < self.verified.pairs:
            raise changed(
                f"shard {self.source.name}",
                f"it holds {count} usable pairs, not {self.verified.pairs}",
            )


@dataclass(frozen=True)
class ResampledShard(UsableShard):
    """A shard whose pairs are there as often as a Poisson number of mean 1 says, each for itself:
    the bootstrap of a stream (Chamandy et al. 2012, "Estimating uncertainty for massive data
    streams"), for which a shard's size is all that has to be known.

    seed: what the numbers are drawn at, which differ from shard to shard.
    """

    seed: int = 0

    @cached_property
    def times(self) -> np.ndarray:
        """How often each usable pair is there, (verified pairs,)."""
        generator = np.random.default_rng(derive("resample", self.seed, self.source.name))
        return generator.poisson(1, self.verified.pairs)

    @property
    def pairs(self) -> int:
        """Number of pairs, repetitions counted."""
        return int(self.times.sum())

    def read(self, size: int) -> Iterator[Pair]:
        """Yield the pairs, in order, repetitions after each other."""
        for pair, times in zip(super().read(size), self.times, strict=True):
            yield from itertools.repeat(pair, times)


def usable_shards(
    corpus: Corpus, sources: list[Shard], verified: list[Verified], resampled: int | None = None
) -> list[UsableShard]:
    """Put a corpus's shards and their manifest together; UserError if they are not the same
    shards.

    resampled: the seed of a bootstrap sample of their pairs; None: all pairs, once.
    """
    present, expected = [source.name for source in sources], [shard.name for shard in verified]
    if present != expected:
        raise UserError(
            f"corpus '{corpus.name}' has changed since it was verified: {len(present)} shards"
            f" found, {len(expected)} in the manifest; run `kbench corpus verify` again"
        )
    pairs = [pair for pair in zip(sources, verified, strict=True) if pair[1].pairs]
    if resampled is None:
        return [UsableShard(corpus, *pair) for pair in pairs]
    return [ResampledShard(corpus, *pair, resampled) for pair in pairs]


def changed(origin: str, problem: object) -> UserError:
    """Return the error for content that differs from the manifest."""
    return UserError(
        f"{origin} has changed since it was verified: {problem}; run `kbench corpus verify` again"
    )
