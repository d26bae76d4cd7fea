"""Towers that start from an imported model, and what frozen ones make of inputs that come again."""

import errno
import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from kbench import files
from kbench.errors import UserError
from kbench.experiment.load import MODELS, refuse_changed
from kbench.experiment.schema import RunConfig
from kbench.pretrain.model import ContrastiveModel, read_weights
from kbench.towers.output import TowerOutput

MOST_BYTES = 64 << 30
"""Of what is remembered of one tower. Where a corpus's pairs alone would take more, nothing is; of
further captions of the same images, as many as there is room for. A constant, so that how a run is
computed does not depend on the machine's disk.
"""

DIGEST = 16
"""Bytes of the digest of an input, and of that of what was made of it."""

FOLDER = "frozen"


def start(model: ContrastiveModel, config: RunConfig) -> None:
    """Give the towers the weights that a training starts from; a smoke run keeps those that were
    drawn. Similarity and objective start as they always do.

    UserError if the imported model is not there, or not the one that the run was planned with.
    """
    begun = config.start
    if begun is None or begun.sha256 is None:
        return
    path = MODELS / begun.model / "model.safetensors"
    if not path.is_file() or files.sha256(path) != begun.sha256:
        raise UserError(
            f"{path} is missing or not the model that {config.run} starts from: import it again"
        )
    refuse_changed(begun.model, begun)
    weights, prefix = read_weights(path), "towers."
    of_towers = {name: weights[name] for name in weights if name.startswith(prefix)}
    model.towers.load_state_dict(
        {name.removeprefix(prefix): tensor for name, tensor in of_towers.items()}
    )


def remember(
    model: ContrastiveModel, config: RunConfig, run: Path, pairs: int, rank: int, identity: str
) -> None:
    """Have frozen towers compute an input once and for all where the same ones come in every epoch:
    captions, and images that are not cropped at random; none where a decoder sees them too.

    pairs: of the corpus; identity: of whatever decides what the towers make of an input.
    """
    if config.start is None or config.training.epochs <= 1:
        return
    # A decoder asks for the input beside what the tower makes of it.
    if model.similarity.has_likelihoods():
        return
    for side in config.start.frozen:
        if side == "text" or config.training.crop is None:
            path = run / FOLDER / f"{side}-{rank}"
            compute = partial(model.compute, side)
            tokens = model.similarity.takes.needs_tokens
            model.remembered[side] = Remembered(compute, path, pairs, tokens, identity)


def forget(run: Path) -> None:
    """Remove what all processes of a finished training remember."""
    for path in (run / FOLDER).glob("*-*"):
        path.unlink(missing_ok=True)


class Remembered:
    """A frozen tower's outputs by the content of the input, in a file that outlives the process.

    What is read is what was computed when the input came first, in the batch that it came in, to
    the last bit: a run that was killed reads the same, and ends as if it never had been. (After a
    loss of power the file may have lost its end. That is noticed, and computed again.)
    """

    def __init__(
        self,
        compute: Callable[[torch.Tensor], TowerOutput],
        path: Path,
        pairs: int,
        tokens: bool,
        identity: str,
    ) -> None:
        """tokens: whether the similarity needs them, or the pooled embedding alone."""
        self._compute, self._path, self._pairs, self._tokens = compute, path, pairs, tokens
        self._identity = hashlib.sha256(identity.encode()).digest()
        self._records: _Records | None = None
        self._example: TowerOutput | None = None

    def __call__(self, inputs: torch.Tensor) -> TowerOutput:
        """Return the tower's output of a batch, in single precision whatever it is computed in."""
        if self._example is None:
            self._example = self._compute(inputs[:1])
        each = _numbers(self._example, self._tokens)[0]
        if each.nbytes * self._pairs > MOST_BYTES:
            return self._compute(inputs)
        if self._records is None:
            self._records = _Records(self._path, each.nbytes, self._identity)
        keys = [_digest(one.tobytes()) for one in inputs.cpu().numpy()]
        computed = {}
        if not all(key in self._records for key in keys):
            rows = _numbers(self._compute(inputs), self._tokens)
            computed = {key: row.tobytes() for key, row in zip(keys, rows, strict=True)}
            self._records.add(computed)
        known = (self._records.read(key) or computed[key] for key in keys)
        held = b"".join(known)
        numbers = np.frombuffer(bytearray(held), each.dtype).reshape(len(keys), -1)
        return self._output(torch.from_numpy(numbers).to(self._example.pooled.device))

    def _output(self, numbers: torch.Tensor) -> TowerOutput:
        """Return what rows of numbers say."""
        width = self._example.pooled.shape[1]
        tokens = None
        if self._tokens:
            tokens = numbers[:, width:].unflatten(1, self._example.tokens.shape[1:])
        return TowerOutput(tokens, numbers[:, :width], self._example.project)


def _numbers(output: TowerOutput, tokens: bool) -> np.ndarray:
    """Return the numbers of each output of a batch in a row: pooled, and every token if asked."""
    parts = [output.pooled, *([output.tokens.flatten(1)] if tokens else [])]
    joined = torch.cat([part.detach() for part in parts], dim=1)
    return (joined if joined.dtype == torch.float64 else joined.float()).cpu().numpy()


def _digest(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=DIGEST).digest()


class _Records:
    """A file of records of one size, each under a digest, which are added at its end.

    It begins with an identity; one of another is begun anew. A record is a key, a digest of the
    values, and the values.
    """

    def __init__(self, path: Path, size: int, identity: bytes) -> None:
        self._path, self._size, self._start = path, size, len(identity)
        self._places: dict[bytes, int] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            if os.pread(self._file, self._start, 0) != identity:
                os.ftruncate(self._file, 0)
                os.pwrite(self._file, identity, 0)
            self._find()
        except OSError as error:
            raise files.unwritable(path, error) from error

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    def read(self, key: bytes) -> bytes | None:
        """Return the values under a key; None if there are none."""
        place = self._places.get(key)
        return None if place is None else os.pread(self._file, self._size, place)

    def add(self, values: dict[bytes, bytes]) -> None:
        """Add those values that are not there yet, up to MOST_BYTES of all; UserError if the disk
        has no room.
        """
        left = MOST_BYTES // self._size - len(self._places)
        records = [(key, row) for key, row in values.items() if key not in self._places][:left]
        text = b"".join(key + _digest(row) + row for key, row in records)
        try:
            written = os.pwrite(self._file, text, self._end)
        except OSError as error:
            raise files.unwritable(self._path, error) from error
        if written < len(text):
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise files.unwritable(self._path, full)
        for key, _ in records:
            self._note(key)

    @property
    def _end(self) -> int:
        return self._start + len(self._places) * (2 * DIGEST + self._size)

    def _note(self, key: bytes) -> None:
        self._places[key] = self._end + 2 * DIGEST

    def _find(self) -> None:
        """Note the records that are there, up to the first that is not whole."""
        while True:
            head = os.pread(self._file, 2 * DIGEST + self._size, self._end)
            key, check, values = head[:DIGEST], head[DIGEST : 2 * DIGEST], head[2 * DIGEST :]
            if len(values) < self._size or _digest(values) != check:
                return
            self._note(key)
