"""Batches of image-text pairs, in an order that the seed alone decides and that can be entered at any point."""

import itertools
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from kbench.corpus.base import Corpus
from kbench.corpus.crop import Cropper
from kbench.corpus.manifest import Manifest
from kbench.corpus.shards import decode_image, read_samples
from kbench.errors import UserError
from kbench.locations import Locations
from kbench.seeds import derive
from kbench.towers.tokenizer import Tokenizer

SHUFFLE_BUFFER = 4096
"""Samples among which the next one is drawn; shards are shuffled as well."""

CACHE_BYTES = 512 * 2**20
"""A process keeps decoded shards up to this size, so that a small corpus is read and decoded once."""


class Pair(NamedTuple):
    """A decoded sample: image (height, width, 3) uint8 and the captions one of which is drawn at each use."""

    image: np.ndarray
    captions: list[str]


class PairStream(IterableDataset):
    """An endless stream of batches (images (B, 3, S, S) uint8, token ids (B, T) int64).

    Epoch after epoch, shards are shuffled and dealt to the ranks' loader processes; each process shuffles its samples
    through a buffer. `skip` batches of this rank are passed over without being assembled, which is how a resumed run
    enters the stream exactly where it left it.
    """

    def __init__(
        self,
        corpus: Corpus,
        locations: Locations,
        manifest: Manifest,
        tokenize: Tokenizer,
        cropper: Cropper,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        skip: int = 0,
    ) -> None:
        super().__init__()
        self.corpus, self.tokenize, self.cropper = corpus, tokenize, cropper
        self.batch_size, self.seed, self.skip = batch_size, seed, skip
        self.rank, self.world_size = rank, world_size
        self.shards = _manifest_shards(corpus, locations, manifest)
        self.cache = _ShardCache(corpus)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        # The loader takes batches from its workers in turn, beginning with the first. Entering late, each plays the
        # part of the one whose turn it would be, and has made that one's share of the batches already used.
        number = (number + self.skip) % workers
        consumer, consumers = self.rank * workers + number, self.world_size * workers
        if len(self.shards) < consumers:
            raise UserError(
                f"corpus '{self.corpus.name}' has {len(self.shards)} shards, too few for {consumers} loaders"
            )
        skip = len(range(number, self.skip, workers))
        samples = itertools.islice(self._samples(consumer, consumers), skip * self.batch_size, None)
        for index in itertools.count(skip):
            generator = np.random.default_rng(derive("batch", self.seed, consumer, consumers, index))
            yield self._batch(list(itertools.islice(samples, self.batch_size)), generator)

    def _samples(self, consumer: int, consumers: int) -> Iterator[Pair]:
        """Yield this process's samples, epoch after epoch."""
        for epoch in itertools.count():
            order = np.random.default_rng(derive("shards", self.seed, epoch)).permutation(len(self.shards))
            mine = (self.shards[i] for i in order[consumer::consumers])
            generator = np.random.default_rng(derive("shuffle", self.seed, epoch, consumer))
            yield from _shuffled(itertools.chain.from_iterable(map(self.cache.read, mine)), generator)

    def _batch(self, pairs: list[Pair], generator: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        choices = generator.random(len(pairs))
        captions = [pair.captions[int(u * len(pair.captions))] for pair, u in zip(pairs, choices, strict=True)]
        images = np.stack([self.cropper(pair.image, generator) for pair in pairs])
        return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(self.tokenize(captions))


class _ShardCache:
    """Reads and decodes shards; keeps what fits into CACHE_BYTES."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.kept: dict[Path, list[Pair]] = {}
        self.bytes = 0

    def read(self, shard: Path) -> Iterator[Pair]:
        if shard in self.kept:
            yield from self.kept[shard]
            return
        pairs: list[Pair] | None = []
        for key, sample in read_samples(shard):
            try:
                pair = Pair(decode_image(sample), self.corpus.captions(sample))
            except UserError as error:
                raise UserError(f"shard {shard}, sample '{key}': {error}") from error
            if pairs is not None:
                self.bytes += pair.image.nbytes
                pairs.append(pair)
                if self.bytes > CACHE_BYTES:
                    self.bytes -= sum(pair.image.nbytes for pair in pairs)
                    pairs = None
            yield pair
        if pairs is not None:
            self.kept[shard] = pairs


def _shuffled(samples: Iterator[Pair], generator: np.random.Generator) -> Iterator[Pair]:
    """Yield the samples in random order, drawing each from a buffer that the next sample then refills."""
    buffer = list(itertools.islice(samples, SHUFFLE_BUFFER))
    for sample in samples:
        place = int(generator.random() * len(buffer))
        chosen, buffer[place] = buffer[place], sample
        yield chosen
    for place in generator.permutation(len(buffer)):
        yield buffer[place]


def _manifest_shards(corpus: Corpus, locations: Locations, manifest: Manifest) -> list[Path]:
    shards = corpus.shards(locations)
    found, expected = [shard.name for shard in shards], [shard.name for shard in manifest.shards]
    if found != expected:
        raise UserError(
            f"corpus '{corpus.name}' has changed since it was verified: {len(found)} shards found, "
            f"{len(expected)} in the manifest; run `kbench corpus verify` again"
        )
    return shards


def _ignore_stop_signals(worker: int) -> None:
    """Leave stopping to the training process: schedulers and terminals signal the whole group."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def load(stream: PairStream, workers: int) -> DataLoader:
    """Return a loader over the stream with that many processes (0: in this one)."""
    return DataLoader(
        stream,
        batch_size=None,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        multiprocessing_context="fork" if workers else None,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_ignore_stop_signals,
    )
