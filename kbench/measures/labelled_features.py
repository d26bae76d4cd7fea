"""Features and labels as the linear probe reads them: possibly memory-mapped, possibly some rows of
an array only.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kbench.errors import UserError

LOOK = 1 << 22
"""Numbers looked at together when searching for ones that are not finite."""


@dataclass(frozen=True)
class Features:
    """Features (M, F) and integer labels (M,) of one split, or of those of its rows that `index`
    (N,) names.

    Nothing is copied: x may be a memory map larger than the memory. Raises UserError where the two
    do not fit, are empty or of the wrong type, or where x holds NaN or infinity.
    """

    x: np.ndarray
    y: np.ndarray
    index: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.index is not None:
            return
        if self.x.ndim != 2 or self.y.shape != self.x.shape[:1]:
            raise UserError(
                f"features {self.x.shape} and labels {self.y.shape} do not fit: expected (N, F) and"
                " (N,)"
            )
        if not self.x.size:
            raise UserError(
                f"features {self.x.shape} are empty: at least one sample and one feature are needed"
            )
        if self.x.dtype.kind not in "fiu" or self.y.dtype.kind not in "iu":
            raise UserError(
                f"features are {self.x.dtype} and labels {self.y.dtype}; legal: numbers, and"
                " integers"
            )
        rows = max(1, LOOK // self.x.shape[1])
        for start in range(0, len(self.x), rows):
            if not np.isfinite(self.x[start : start + rows]).all():
                raise UserError(
                    f"features hold values that are not finite, in rows {start} to"
                    f" {start + rows - 1}"
                )

    def __len__(self) -> int:
        return len(self.y if self.index is None else self.index)

    @property
    def width(self) -> int:
        """Number of features F."""
        return self.x.shape[1]

    @property
    def labels(self) -> np.ndarray:
        """The labels (N,)."""
        return self.y if self.index is None else self.y[self.index]

    def rows(self, index: np.ndarray) -> "Features":
        """Return some of the samples, without copying their features; they are read in the order of
        `index`.
        """
        return Features(self.x, self.y, index if self.index is None else self.index[index])

    def chunks(self, rows: int) -> Iterator[np.ndarray]:
        """Yield the features in turn, copies of at most `rows` rows each."""
        for start in range(0, len(self), rows):
            part = slice(start, start + rows)
            yield np.array(self.x[part if self.index is None else self.index[part]])
