"""Passes over the samples of a regression, in chunks that stay near the processor."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from kbench.errors import UserError
from kbench.measures.labelled_features import Features

RESIDENT_BYTES = 2 << 30
"""Features that take no more than this as float32 are kept in memory; larger ones are read anew at
every pass.
"""

CHUNK_NUMBERS = 1 << 20
"""Numbers in the largest array of a chunk: few enough to stay near the processor."""

CHUNK_ROWS = 512
"""Rows of a chunk at least, below which a matrix product is not worth its start."""


class Samples:
    """What a pass over the samples reads: centred features, class indices and importances, in
    chunks.
    """

    def __init__(self, parts: Sequence[Features], balanced: bool, device: str) -> None:
        if len({part.width for part in parts}) > 1:
            raise UserError(
                "splits have different numbers of features:"
                f" {', '.join(str(p.width) for p in parts)}"
            )
        self.parts, self.device = parts, device
        self.classes, targets = np.unique(
            np.concatenate([part.labels for part in parts]), return_inverse=True
        )
        if len(self.classes) < 2:
            raise UserError(
                f"the linear probe needs at least two classes; found {self.classes.tolist()}"
            )
        counts = np.bincount(targets)
        importance = (
            (len(targets) / (len(counts) * counts))[targets] if balanced else np.ones(len(targets))
        )
        self.targets = torch.as_tensor(targets, device=device)
        self.weights = torch.as_tensor(importance, dtype=torch.float32, device=device)
        self.shares = torch.zeros(len(counts), dtype=torch.float64, device=device).index_add_(
            0, self.targets, self.weights.double()
        ) / len(targets)
        self.width, self.resident = parts[0].width, None
        self.mean = torch.zeros(self.width, dtype=torch.float64, device=device)
        total = sum(
            x.double().T @ weight.double() for x, _, weight in self.chunks(1, torch.float32)
        )
        self.mean = total / self.weights.sum(dtype=torch.float64)
        if 4 * len(targets) * self.width <= RESIDENT_BYTES:
            self.resident = torch.cat([x for x, _, _ in self.chunks(1, torch.float32)])

    def chunks(
        self, columns: int, dtype: torch.dtype
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Yield features (n, F), class indices (n,) and importances (n,); n suits arrays of (n,
        columns) numbers.
        """
        rows, start = chunk_rows(max(columns, self.width)), 0
        for x in self._raw(rows):
            part = slice(start, start + len(x))
            yield x.to(dtype), self.targets[part], self.weights[part].to(dtype)
            start += len(x)

    def _raw(self, rows: int) -> Iterator[torch.Tensor]:
        if self.resident is not None:
            yield from self.resident.split(rows)
            return
        for part in self.parts:
            for x in part.chunks(rows):
                yield (torch.as_tensor(x, device=self.device).double() - self.mean).float()


def chunk_rows(columns: int) -> int:
    """Return how many rows of an array with so many columns a chunk has."""
    return max(CHUNK_ROWS, CHUNK_NUMBERS // columns)
