"""Whether an experiment's results are what they say: nothing edited, nothing of something else.

Every check recomputes what a document claims from what lies beside it. Each names what it looked at
and what it found wrong; what is not there, such as weights in a bundle, is looked at nowhere and
said to be absent.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas

from kbench import files, tasks
from kbench.errors import UserError
from kbench.identity import code
from kbench.records.documents import EnvironmentRecord, TaskResult
from kbench.results import inventory, samples, table
from kbench.results.store import Store, read_record


@dataclass(frozen=True)
class Check:
    """What was looked at, how many of it, and what is wrong with some, a sentence each."""

    what: str
    number: int
    problems: tuple[str, ...]


Problems = Iterator[str | None]
"""One for each thing that was looked at; None where nothing is wrong with it."""


def checks(store: Store, given: Path) -> list[Check]:
    """Return every check of an experiment's results that were read from `given`, a folder or a
    bundle.
    """
    made: dict[str, Callable[[], Problems]] = {
        "configurations": lambda: _configurations(store),
        "records of code": lambda: _codes(store),
        "environments": lambda: _environments(store),
        "lock files": lambda: _locks(store),
        "files of the crate": lambda: _crate(store),
        "weights": lambda: _weights(store),
        "numbers from their samples": lambda: _samples(store),
        "tables": lambda: _tables(store, given),
    }
    return [_check(what, problems()) for what, problems in made.items()]


def _check(what: str, problems: Problems) -> Check:
    seen = list(problems)
    return Check(what, len(seen), tuple(problem for problem in seen if problem))


def _configurations(store: Store) -> Problems:
    """Look at the frozen configuration of each run with a card: it has the hash that card and
    results name.
    """
    from kbench.experiment.load import read_run

    for run, card in store.cards.items():
        path = store.place / "runs" / run / "config.json"
        seen = read_run(path).hash if path.is_file() else None
        named = {result.provenance.config_hash for result in store.results if result.run == run}
        wrong = sorted({card.config_hash, *named} - {seen})
        said = f"{path} is configuration {seen}, but its run names {', '.join(wrong)}"
        yield said if wrong else None


def _codes(store: Store) -> Problems:
    """Look at every record of code that a document names."""
    named = {(result.run, digest) for result in store.results for digest in _of_stages(result)}
    for run, digest in sorted(named):
        try:
            code.read(store.place / "runs" / run, digest)
        except UserError as error:
            yield str(error)
        else:
            yield None


def _of_stages(result: TaskResult) -> list[str]:
    made = result.provenance
    stages = (made.training_code, made.features_code, made.task_code)
    return [digest for digest in stages if digest]


def _environments(store: Store) -> Problems:
    """Look at every record of an environment: its name is its hash."""
    for path in sorted(store.place.glob("runs/*/environments/*.json")):
        same = files.canonical_hash(files.read_json(path)) == path.stem
        yield None if same else f"{path} does not hold the environment that its name says"


def _locks(store: Store) -> Problems:
    """Look at every lock file of a bundle: it is what the environments make."""
    paths = sorted(store.place.glob("runs/*/environments/*.json"))
    made = inventory.locks({path.stem: read_record(path, EnvironmentRecord) for path in paths})
    for path in sorted(store.place.glob(inventory.LOCKS)):
        same = made.get(path.relative_to(store.place).as_posix()) == path.read_bytes()
        yield None if same else f"{path} does not hold the versions that the environments do"


def _crate(store: Store) -> Problems:
    """Look at every file of a bundle: it is what the bundle's crate says."""
    if store.unpacked is None or not (store.place / inventory.CRATE).is_file():
        return
    document = files.read_json(store.place / inventory.CRATE)
    paths = [path for path in store.place.rglob("*") if path.is_file()]
    names = {path.relative_to(store.place).as_posix(): path for path in paths}
    del names[inventory.CRATE]
    problems = list(inventory.wrong(document, {name: p.read_bytes() for name, p in names.items()}))
    yield from problems
    yield from [None] * (len(names) - len(problems))


def _weights(store: Store) -> Problems:
    """Look at the weights that are there."""
    for run, card in store.cards.items():
        path = store.place / "runs" / run / "model.safetensors"
        if path.is_file():
            same = files.sha256(path) == card.checkpoint_sha256
            yield None if same else f"{path} is not {card.checkpoint_sha256}, as model.json says"


def _samples(store: Store) -> Problems:
    """Look at every metric that is a mean over stored samples."""
    for result in store.results:
        for metric in result.metrics:
            measure = tasks.measure(result.task, metric.name)
            if metric.value is None or measure is None or measure.samples is None:
                continue
            try:
                seen = samples.per_sample(store, result, metric.name)
            except UserError as error:
                yield str(error)
                continue
            if seen is not None:
                yield None


def _tables(store: Store, given: Path) -> Problems:
    """Look at a table.csv beside the results: it is what they make."""
    path = (given if given.is_dir() else given.parent) / "table.csv"
    if path.is_file():
        made = pandas.read_csv(io.StringIO(table.frame(store).to_csv(index=False)), dtype=str)
        yield _first_difference(path, made)


def _first_difference(path: Path, made: pandas.DataFrame) -> str | None:
    """Return where a table is not the one that results make; provenance and values alike."""
    try:
        seen = pandas.read_csv(path, dtype=str)
    except (OSError, ValueError) as error:
        return f"cannot read {path}: {error}"
    if list(seen.columns) != list(made.columns) or len(seen) != len(made):
        return f"{path} has {len(seen)} rows of {len(seen.columns)} columns, its results make" + (
            f" {len(made)} of {len(made.columns)}"
        )
    different = (seen != made) & ~(seen.isna() & made.isna())
    if not different.any(axis=None):
        return None
    line = int(different.any(axis=1).argmax())
    column = different.columns[int(different.iloc[line].argmax())]
    return (
        f"{path}, line {line + 2}: {column} is {seen[column][line]}, its results make"
        f" {made[column][line]}"
    )
