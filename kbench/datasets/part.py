"""The parts in which a large evaluation set is encoded, each by a job of its own.

A part has whole batches of every split, so that each batch holds the images it would hold in one
job, and what the jobs give together is the same to the last bit.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from kbench.datasets.dataset import Dataset
from kbench.errors import UserError


@dataclass(frozen=True)
class Part:
    """Part `number`, counted from 1, of `of`."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}-of-{self.of}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the part written as 'NUMBER-of-OF'; UserError for anything else."""
        number, _, of = text.partition("-of-")
        if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            raise UserError(f"part '{text}'; legal: I-of-N, I from 1 to N")
        return cls(int(number), int(of))

    def images(self, total: int, batch_size: int) -> range:
        """Return which of a split's images are in this part."""
        batches = math.ceil(total / batch_size)
        first, end = ((batches * n // self.of) * batch_size for n in (self.number - 1, self.number))
        return range(min(first, total), min(end, total))


def parts(dataset: Dataset, images_per_job: int) -> Iterator[Part]:
    """Yield the parts of a dataset: one, unless it has labels, and more images than one job should
    encode are published. What captions an image has is counted over the whole of a split.
    """
    counts = [count or 0 for count in dataset.splits.values()]
    number = math.ceil(sum(counts) / images_per_job) if dataset.has_classes else 1
    for one in range(1, max(1, number) + 1):
        yield Part(one, max(1, number))
