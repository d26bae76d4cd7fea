"""Batches of image-text pairs, in an order that the seed alone decides and that can be entered at
any point.
"""

import itertools
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from kbench.corpus.base import Corpus
from kbench.corpus.crop import Cropper
from kbench.corpus.manifest import Manifest
from kbench.corpus.usable import Pair, UsableShard, changed, usable_shards
from kbench.errors import UserError
from kbench.locations import Locations
from kbench.seeds import derive
from kbench.towers.tokenizer import Tokenizer

SHUFFLE_BUFFER = 4096
"""Samples among which the next one is drawn; shards are shuffled as well."""

CACHE_BYTES = 512 * 2**20
"""A process keeps what it has read if all of it fits, so that a small corpus is read and decoded
once.
"""

Item = TypeVar("Item")

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images (B, 3, S, S) uint8 and token ids (B, T) int64."""


@dataclass(frozen=True)
class Share:
    """Which samples one training process gets, and how many batches of them it has had.

    batch_size: of this process; rank, processes: which of how many it is; skip: batches of this
    rank that are passed over; resampled: seed of a bootstrap sample of the corpus, None: all of it.
    """

    batch_size: int
    seed: int
    rank: int = 0
    processes: int = 1
    skip: int = 0
    resampled: int | None = None


class PairStream(IterableDataset):
    """An endless stream of batches (images (B, 3, S, S) uint8, token ids (B, T) int64).

    Epoch after epoch, shards are shuffled and dealt to the ranks' loader processes; each process
    shuffles its samples through a buffer. Batches to skip are passed over without being assembled,
    and without reading what only they hold, which is how a resumed run enters the stream exactly
    where it left it.

    Raises UserError if the corpus is not the one of the manifest, or has fewer shards than there
    are loader processes.
    """

    def __init__(
        self,
        corpus: Corpus,
        locations: Locations,
        manifest: Manifest,
        tokenize: Tokenizer,
        cropper: Cropper,
        share: Share,
    ) -> None:
        super().__init__()
        self.corpus, self.tokenize, self.cropper = corpus, tokenize, cropper
        self.share = share
        self.shards = usable_shards(
            corpus, corpus.shards(locations), manifest.shards, share.resampled
        )
        self.cache = _Cache(cropper.size)

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        # The loader takes batches from its workers in turn, beginning with the first. Entering
        # late, each plays the part of the one whose turn it would be, and has made that one's share
        # of the batches already used.
        number = (number + self.share.skip) % workers
        consumer, consumers = self.share.rank * workers + number, self.share.processes * workers
        if len(self._deck(0)) < consumers:
            raise UserError(
                f"corpus '{self.corpus.name}' has {len(self._deck(0))} shards, too few for"
                f" {consumers} loaders"
            )
        skip = len(range(number, self.share.skip, workers))
        samples = self._samples(consumer, consumers, skip * self.share.batch_size)
        for index in itertools.count(skip):
            generator = np.random.default_rng(
                derive("batch", self.share.seed, consumer, consumers, index)
            )
            yield self._batch(list(itertools.islice(samples, self.share.batch_size)), generator)

    def _deck(self, epoch: int) -> list[UsableShard]:
        """Return the shards of an epoch, each as often as its weight says; of a fraction, others in
        every epoch.
        """
        deck = []
        for weight, group in itertools.groupby(self.shards, lambda shard: shard.source.weight):
            shards = list(group)
            part = round(weight % 1 * len(shards))
            drawn = np.random.default_rng(
                derive("part of a source", self.share.seed, epoch, len(deck))
            )
            deck += shards * int(weight) + [
                shards[i] for i in drawn.permutation(len(shards))[:part]
            ]
        return deck

    def _samples(self, consumer: int, consumers: int, skip: int) -> Iterator[Pair]:
        """Yield this process's samples, epoch after epoch, from the one numbered `skip` on."""
        for epoch in itertools.count():
            deck = self._deck(epoch)
            order = np.random.default_rng(derive("shards", self.share.seed, epoch)).permutation(
                len(deck)
            )
            mine = [deck[i] for i in order[consumer::consumers]]
            pairs = sum(shard.pairs for shard in mine)
            if skip >= pairs:
                skip -= pairs
                continue
            seed = derive("shuffle", self.share.seed, epoch, consumer)
            unread = _places_before(skip, pairs, seed)
            read = itertools.chain.from_iterable(self._read(mine, unread))
            yield from itertools.islice(_shuffled(read, np.random.default_rng(seed)), skip, None)
            skip = 0

    def _read(self, shards: list[UsableShard], unread: set[int]) -> Iterator[Iterator[Pair | None]]:
        """Yield the shards' pairs; in place of a shard of which none is wanted, as many times
        None.
        """
        first = 0
        for shard in shards:
            places = range(first, first + shard.pairs)
            yield (
                itertools.repeat(None, shard.pairs)
                if unread.issuperset(places)
                else self.cache.read(shard)
            )
            first += shard.pairs

    def _batch(self, pairs: list[Pair], generator: np.random.Generator) -> Batch:
        choices = generator.random(len(pairs))
        captions = [
            pair.captions[int(u * len(pair.captions))]
            for pair, u in zip(pairs, choices, strict=True)
        ]
        images = np.stack([self._cut(pair, generator) for pair in pairs])
        return torch.from_numpy(images).contiguous(), torch.from_numpy(self.tokenize(captions))

    def _cut(self, pair: Pair, generator: np.random.Generator) -> np.ndarray:
        try:
            return self.cropper(pair.picture, generator)
        except UserError as error:
            raise changed(pair.origin, error) from error


class _Cache:
    """Reads the usable pairs of shards; keeps them as long as all that was read fits into
    CACHE_BYTES.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.kept: dict[str, list[Pair]] | None = {}
        self.bytes = 0

    def read(self, shard: UsableShard) -> Iterator[Pair]:
        name = shard.source.name
        if self.kept is not None and name in self.kept:
            yield from self.kept[name]
            return
        pairs = []
        for pair in shard.read(self.size):
            if self.kept is not None:
                pairs.append(pair)
                self.bytes += pair.picture.nbytes
                if self.bytes > CACHE_BYTES:
                    self.kept, pairs = None, []
            yield pair
        if self.kept is not None:
            self.kept[name] = pairs


def _places_before(skip: int, pairs: int, seed: int) -> set[int]:
    """Return the places, in reading order, of the samples that `_shuffled` yields among its first
    `skip`.
    """
    return (
        set(itertools.islice(_shuffled(iter(range(pairs)), np.random.default_rng(seed)), skip))
        if skip
        else set()
    )


def _shuffled(samples: Iterator[Item], generator: np.random.Generator) -> Iterator[Item]:
    """Yield the samples in random order, drawing each from a buffer that the next sample then
    refills.
    """
    buffer = list(itertools.islice(samples, SHUFFLE_BUFFER))
    for sample in samples:
        place = int(generator.random() * len(buffer))
        chosen, buffer[place] = buffer[place], sample
        yield chosen
    for place in generator.permutation(len(buffer)):
        yield buffer[place]


def _leave_stopping_to_the_trainer(worker: int) -> None:
    """Leave stopping to the training process: schedulers and terminals signal the whole group."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    sys.excepthook = _pass_over_a_trainer_that_left


def _pass_over_a_trainer_that_left(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Report what is uncaught, but not that the trainer left while a batch was handed over: it says
    so itself.
    """
    if not issubclass(kind, (EOFError, ConnectionError)):
        sys.__excepthook__(kind, error, trace)


class _Reporting(IterableDataset):
    """The stream, with what is wrong with its input as a last item: raised in a loader process,
    torch would bury the message in a traceback."""

    def __init__(self, stream: PairStream) -> None:
        super().__init__()
        self.stream = stream

    def __iter__(self) -> Iterator[Batch | UserError]:
        try:
            yield from self.stream
        except UserError as error:
            yield error


class Loader(Iterator[Batch]):
    """The stream's batches, made by that many processes (0: by this one). Raises the stream's
    UserError.

    It has to be closed. Loader processes ignore the signals by which Python ends what it started,
    so that after an exception, which keeps everything in its reach alive, the program would wait
    for them for ever.
    """

    def __init__(self, stream: PairStream, workers: int) -> None:
        self._batches = iter(
            DataLoader(
                _Reporting(stream),
                batch_size=None,
                num_workers=workers,
                pin_memory=torch.cuda.is_available(),
                multiprocessing_context="fork" if workers else None,
                prefetch_factor=4 if workers else None,
                worker_init_fn=_leave_stopping_to_the_trainer,
            )
        )

    def __next__(self) -> Batch:
        item = next(self._batches)
        if isinstance(item, UserError):
            raise item
        return item

    def close(self) -> None:
        """End the loader processes: those that do not leave when they are asked to are killed."""
        processes = list(getattr(self._batches, "_workers", ()))
        if processes:
            self._batches._shutdown_workers()
        for process in processes:
            process.kill()
            process.join()


def load(stream: PairStream, workers: int) -> Loader:
    """Return the stream's batches, to be closed when no more are wanted."""
    return Loader(stream, workers)
