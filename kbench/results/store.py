"""Reads every result of an experiment, refuses mixtures, and says what is missing."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from kbench import memory, tasks
from kbench.corpus import manifest
from kbench.datasets import dataset as known_datasets
from kbench.errors import UserError, unknown
from kbench.files import read_json
from kbench.records import training_log
from kbench.records.documents import ExperimentRecord, ModelCard, Record, TaskResult, TuningRecord
from kbench.results import bundle, from_table, jobs, mixture
from kbench.results.mixture import document_name

AnyRecord = TypeVar("AnyRecord", bound=Record)


@dataclass(frozen=True)
class Missing:
    """A result that the experiment asks for and that is not there."""

    run: str
    dataset: str
    task: str
    job: str


@dataclass(frozen=True)
class Store:
    """The results of one experiment, valid and of one provenance."""

    folder: Path
    experiment: ExperimentRecord
    results: tuple[TaskResult, ...]
    cards: dict[str, ModelCard]
    missing: tuple[Missing, ...]
    # Trained runs that lie in the folder but are no longer part of the experiment.
    stale: tuple[str, ...]
    tuning: TuningRecord | None  # the search for settings, if there was one
    # What has to be said under every table of results that were allowed to mix.
    mixture_notes: list[str] = field(default_factory=list)
    # Of a bundle: where it is unpacked; of a table: an empty folder. `folder` then only names the
    # experiment.
    unpacked: tempfile.TemporaryDirectory | None = None

    @property
    def place(self) -> Path:
        """The folder with the files."""
        return Path(self.unpacked.name) if self.unpacked else self.folder

    @property
    def expected(self) -> int:
        """Number of results that the experiment asks for."""
        return len(self.results) + len(self.missing)

    def arrays(self, result: TaskResult) -> str:
        """Return where a result's arrays (TASK.npz) are, if it has any."""
        return document_name(self.place, result.run, result.dataset, result.task, ".npz")

    def config(self, run: str) -> dict:
        """Return the frozen configuration of a run; empty if it has none yet."""
        path = self.place / "runs" / run / "config.json"
        return read_json(path) if path.is_file() else {}

    def corpus(self) -> manifest.Manifest | None:
        """Return what the corpus was found to hold, or None before it was verified."""
        path = self.place / "corpus.json"
        return manifest.read(path) if path.is_file() else None

    def log(self, run: str) -> list[dict]:
        """Return the logged training steps of a run; empty if there is no log."""
        return training_log.read(self.place / "runs" / run / "metrics.jsonl")


def load(folder: Path, mixed_images: bool = False, mixed_code: bool = False) -> Store:
    """Read and check all results in results/EXPERIMENT, or in a bundle of it.

    mixed_images, mixed_code: they may be of several container images, or of code that does not
    agree.

    Raises UserError if the folder is not an experiment's, a file is unreadable or two results must
    not mix.
    """
    folder = Path(folder)
    if folder.is_file():
        return _of_bundle(folder, mixed_images, mixed_code)
    if not folder.is_dir():
        raise UserError(f"no such results folder: {folder}")
    packed = folder / bundle.NAME
    if packed.is_file() and not (folder / "experiment.json").exists():
        return _of_bundle(packed, mixed_images, mixed_code)
    if not (folder / "experiment.json").is_file():
        raise UserError(_not_results(folder))
    with memory.collector_paused():
        experiment = read_record(folder / "experiment.json", ExperimentRecord)
        results = tuple(_results(folder, experiment))
        cards = _cards(folder, experiment.runs)
    notes = mixture.refuse(folder, experiment.name, results, cards, mixed_images, mixed_code)
    return Store(
        folder=folder,
        experiment=experiment,
        results=results,
        cards=cards,
        missing=tuple(_missing(folder, experiment, results, cards)),
        stale=tuple(sorted(_trained_runs(folder) - set(experiment.runs))),
        tuning=_tuning(folder / "tuning.json", experiment),
        mixture_notes=notes,
    )


def shown(folder: Path, mixed_images: bool = False, mixed_code: bool = False) -> Store:
    """Return load(folder), or what the table of a summary has that has nothing else: for what shows
    numbers, and neither checks nor passes on where they are from.
    """
    folder = Path(folder)
    path = from_table.find(folder)
    more = any((folder / name).is_file() for name in ("experiment.json", bundle.NAME))
    if path is None or more:
        return load(folder, mixed_images, mixed_code)
    experiment, results = from_table.read(path)
    mixture.refuse_values(folder, experiment.name, results, {})
    return Store(
        folder=Path("results") / experiment.name,
        experiment=experiment,
        results=results,
        cards={},
        missing=(),
        stale=(),
        tuning=_tuning(folder / "tuning.json", experiment),
        mixture_notes=[from_table.NOTE],
        unpacked=tempfile.TemporaryDirectory(prefix="kbench-table-"),  # with no file
    )


def _not_results(folder: Path) -> str:
    """Return why a folder cannot be read, and what can be done if it is a summary of results."""
    if from_table.find(folder):
        return (
            f"{folder} has a table and nothing that it could be held against: no experiment.json,"
            f" no {bundle.NAME}. `kbench report`, `kbench site` and `kbench compare A B` show what"
            " it has; `kbench bundle RESULTS` makes a bundle where the runs are"
        )
    return f"{folder} is not an experiment's results folder: it has no experiment.json"


def _of_bundle(path: Path, mixed_images: bool, mixed_code: bool) -> Store:
    unpacked = bundle.unpack(path)
    store = load(Path(unpacked.name), mixed_images, mixed_code)
    beside = path.resolve().parent.name == store.experiment.name
    folder = path.parent if beside else Path("results") / store.experiment.name
    missing = tuple(_missing(folder, store.experiment, store.results, store.cards))
    return replace(store, folder=folder, missing=missing, unpacked=unpacked)


def read_record(path: Path | str, kind: type[AnyRecord]) -> AnyRecord:
    """Read one document; UserError, with its path and the first thing wrong, if it is not valid."""
    content = read_json(path)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "document"
        raise UserError(f"cannot use {path}: {where}: {first['msg']}") from error


def _tuning(path: Path, experiment: ExperimentRecord) -> TuningRecord | None:
    """Return the search for settings that precedes the runs; UserError if it is not of this
    experiment's variants.
    """
    if not path.is_file():
        return None
    tuning = read_record(path, TuningRecord)
    for label in tuning.variants:
        if label not in experiment.variants:
            raise UserError(f"{path}: {unknown('variant', label, experiment.variants)}")
    return tuning


def _trained_runs(folder: Path) -> set[str]:
    return {path.parent.name for path in (folder / "runs").glob("*/model.json")}


def _results(folder: Path, experiment: ExperimentRecord) -> Iterable[TaskResult]:
    """Yield the results in the experiment's order of runs and datasets."""
    for run in experiment.runs:
        for dataset, task in _evaluated(f"{folder}/runs/{run}/evaluation", experiment.datasets):
            path = document_name(folder, run, dataset, task)
            result = read_record(path, TaskResult)
            if (result.run, result.dataset, result.task) != (run, dataset, task):
                raise UserError(
                    f"clashing result: {path} holds {result.task} on {result.dataset} of run"
                    f" {result.run}"
                )
            yield result


def _evaluated(folder: str, datasets: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (dataset, task) of the documents of a run, in the experiment's order of datasets, then
    of others, and by task.
    """
    position = {name: index for index, name in enumerate(datasets)}
    present = _listed(folder)
    for dataset in sorted(present, key=lambda name: (position.get(name, len(position)), name)):
        names = sorted(_listed(f"{folder}/{dataset}"))
        documents = (name for name in names if name.endswith(".json"))
        yield from ((dataset, name.removesuffix(".json")) for name in documents)


def _listed(folder: str) -> list[str]:
    """Return what is in a folder; nothing if it is none."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _cards(folder: Path, runs: Iterable[str]) -> dict[str, ModelCard]:
    paths = {run: folder / "runs" / run / "model.json" for run in runs}
    return {run: read_record(path, ModelCard) for run, path in paths.items() if path.is_file()}


def _missing(
    folder: Path,
    experiment: ExperimentRecord,
    results: Iterable[TaskResult],
    cards: dict[str, ModelCard],
) -> Iterable[Missing]:
    done = {(result.run, result.dataset, result.task) for result in results}
    asked = [
        (dataset, task)
        for dataset in experiment.datasets
        for task in tasks.of(known_datasets.get(dataset), experiment.tasks)
    ]
    for run in experiment.runs:
        job = jobs.evaluate(folder, run) if run in cards else jobs.pretrain(folder, run)
        for dataset, task in asked:
            if (run, dataset, task) not in done:
                yield Missing(run, dataset, task, job)
