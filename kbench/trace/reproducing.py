"""An experiment run again from its results alone, and its numbers held against the first ones."""

import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from kbench import files
from kbench.errors import UserError
from kbench.experiment.load import load, resolve
from kbench.records.documents import TaskResult
from kbench.results.store import Store

IDENTICAL, WITHIN, DIFFERENT, ABSENT = "identical", "within tolerance", "different", "not made yet"
TOLERANCE = 1e-3
"""In a metric's own unit: 0.1 points, 0.001 nats."""


@dataclass(frozen=True)
class Again:
    """One metric of one run and what became of it; the largest difference is that of the value."""

    run: str
    dataset: str
    task: str
    metric: str
    status: str
    first: float | None
    again: float | None = None


def prepare(store: Store, folder: Path, cores: str, data: Path | None) -> list[str]:
    """Write the experiment's file into a folder, unless it is there, and return the words of the
    command that runs it.

    Raises UserError if this kbench would make other runs than those there are, naming one.
    """
    record = store.experiment
    path = folder / f"{record.name}.yaml"
    if not path.is_file():
        files.write_text(path, yaml.safe_dump(record.experiment, sort_keys=False))
    runs = [run.run for run in resolve(load(str(path)))]
    other = [run for run in record.runs if run not in runs]
    if other:
        raise UserError(
            f"{path}: this kbench does not make run {other[0]}, of {len(other)} others than it"
            f" makes ({', '.join(runs[:3])} ...): use the version that made the results"
        )
    config = [f"experiment={path}", f"results={folder / 'results'}"]
    config += [f"data={data}"] if data else []
    image = all(result.provenance.image_digest for result in store.results)
    container = ["--use-singularity"] if image and store.results else []
    return ["snakemake", "--cores", cores, *container, "--config", *config]


def command(words: list[str]) -> list[str]:
    """Return the words with Snakemake as this Python has it."""
    return [sys.executable, "-m", *words]


def shown(words: list[str]) -> str:
    """Return the command as it is typed."""
    return shlex.join(words)


def held(first: Store, again: Store, tolerance: float) -> list[Again]:
    """Return every metric of the first results beside what was made again."""
    made = {_key(result): result for result in again.results}
    return [
        metric
        for result in first.results
        for metric in _metrics(result, made.get(_key(result)), tolerance)
    ]


def counted(metrics: list[Again]) -> str:
    """Return how many metrics have which status, in words."""
    counts = Counter(metric.status for metric in metrics)
    order = (IDENTICAL, WITHIN, DIFFERENT, ABSENT)
    return ", ".join(f"{counts[status]:,} {status}" for status in order if counts[status])


def _key(result: TaskResult) -> tuple[str, str, str]:
    return result.run, result.dataset, result.task


def _metrics(result: TaskResult, again: TaskResult | None, tolerance: float) -> Iterator[Again]:
    values = {metric.name: metric.value for metric in again.metrics} if again else {}
    for metric in result.metrics:
        value = values.get(metric.name)
        status = _status(metric.value, value, tolerance) if metric.name in values else ABSENT
        yield Again(*_key(result), metric.name, status, metric.value, value)


def _status(first: float | None, again: float | None, tolerance: float) -> str:
    if first == again:
        return IDENTICAL
    known = first is not None and again is not None
    return WITHIN if known and abs(first - again) <= tolerance else DIFFERENT
