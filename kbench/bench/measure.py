"""Measuring time and memory of something and its baseline, alternately, in the same run."""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor

from pydantic import Field
from tqdm import tqdm

from kbench.records.documents import Record


class Row(Record):
    """One figure of `kbench bench`."""

    name: str = Field(description="BENCH/WHAT/FIGURE, e.g. similarity/wpse-gaussian/time")
    value: float | None = Field(description="kbench's figure; null where it cannot be known")
    unit: str = Field(description="unit of value and baseline")
    baseline: float | None = Field(
        description="the same figure of the baseline, measured in the same run"
    )
    ratio: float | None = Field(description="value / baseline; null where that is undefined")

    @classmethod
    def of(cls, name: str, value: float | None, unit: str, baseline: float | None) -> "Row":
        """Return the row with its ratio."""
        ratio = value / baseline if baseline and value is not None else None
        return cls(name=name, value=value, unit=unit, baseline=baseline, ratio=ratio)


def say(line: str) -> None:
    """Print a line above any progress bar."""
    tqdm.write(line)


def alternate(
    ours: Callable[[], object], baseline: Callable[[], object], repeats: int
) -> tuple[float, float]:
    """Return the median seconds of each, taken in turns after one call of each that does not
    count.
    """
    first, second = in_turns([ours, baseline], repeats)
    return first, second


def in_turns(functions: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Return the median seconds of each function, taken in turns after one call of each that does
    not count.
    """
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats + 1):
        for function, taken in zip(functions, seconds, strict=True):
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken[1:]) for taken in seconds]


def in_fresh_process(function: Callable[..., int], *arguments: object) -> int:
    """Return function(*arguments), called in a new process whose memory nothing else has
    touched.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()
