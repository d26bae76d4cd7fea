"""Progress: a bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def bar(
    description: str,
    total: int | None,
    initial: int = 0,
    unit: str = "step",
    scaled: bool = False,
    shown: bool = True,
) -> tqdm:
    """Return a bar to update by hand. In a log file it prints a line every half minute at most.

    scaled: show thousands and millions as k and M.
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        desc=description,
        total=total,
        initial=initial,
        unit=unit,
        unit_scale=scaled,
        mininterval=0.2 if terminal else 30,
        maxinterval=10 if terminal else 30,
        dynamic_ncols=terminal,
        ascii=not terminal,
        disable=not shown,
    )


def track(items: Iterable[Item], description: str, unit: str = "item") -> Iterator[Item]:
    """Yield the items while showing how many are done."""
    total = len(items) if hasattr(items, "__len__") else None
    with bar(description, total, unit=unit) as progress:
        for item in items:
            yield item
            progress.update()
