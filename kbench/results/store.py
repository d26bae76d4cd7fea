"""Reads every result of an experiment, refuses mixtures, and says what is missing."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from kbench.benchmark import dataset as benchmark
from kbench.errors import UserError
from kbench.files import read_json
from kbench.pretrain import metrics
from kbench.results import jobs
from kbench.results.schema import ExperimentRecord, ModelCard, Record, TaskResult

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
    stale: tuple[str, ...]  # runs that lie in the folder but are no longer part of the experiment

    @property
    def expected(self) -> int:
        """Number of results that the experiment asks for."""
        return len(self.results) + len(self.missing)

    def arrays(self, result: TaskResult) -> Path | None:
        """Return the path of a result's arrays (TASK.npz), or None if it has none."""
        path = _document(self.folder, result.run, result.dataset, result.task).with_suffix(".npz")
        return path if path.is_file() else None

    def log(self, run: str) -> list[dict]:
        """Return the logged training steps of a run; empty if there is no log."""
        return metrics.read(self.folder / "runs" / run / "metrics.jsonl")


def load(folder: Path) -> Store:
    """Read and check all results in results/EXPERIMENT.

    Raises UserError if the folder is not an experiment's, a file is unreadable or two results must not mix.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"no such results folder: {folder}")
    if not (folder / "experiment.json").is_file():
        raise UserError(f"{folder} is not an experiment's results folder: it has no experiment.json")
    experiment = read_record(folder / "experiment.json", ExperimentRecord)
    results = tuple(_results(folder, experiment))
    cards = _cards(folder, experiment.runs)
    _check(folder, experiment, results, cards)
    return Store(
        folder=folder,
        experiment=experiment,
        results=results,
        cards=cards,
        missing=tuple(_missing(folder, experiment, results, cards)),
        stale=tuple(sorted(_run_folders(folder) - set(experiment.runs))),
    )


def read_record(path: Path, kind: type[AnyRecord]) -> AnyRecord:
    """Read one document; UserError, with its path and the first thing wrong, if it is not valid."""
    content = read_json(path)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "document"
        raise UserError(f"cannot use {path}: {where}: {first['msg']}") from error


def _document(folder: Path, run: str, dataset: str, task: str) -> Path:
    return folder / "runs" / run / "evaluation" / dataset / f"{task}.json"


def _run_folders(folder: Path) -> set[str]:
    return {path.name for path in (folder / "runs").glob("*") if path.is_dir()}


def _results(folder: Path, experiment: ExperimentRecord) -> Iterable[TaskResult]:
    """Yield the results in the experiment's order of runs and datasets."""
    for run in experiment.runs:
        evaluated = folder / "runs" / run / "evaluation"
        for path in sorted(evaluated.glob("*/*.json"), key=lambda path: _position(experiment, path)):
            result = read_record(path, TaskResult)
            if _document(folder, result.run, result.dataset, result.task) != path:
                raise UserError(f"clashing result: {path} holds {result.task} on {result.dataset} of run {result.run}")
            yield result


def _position(experiment: ExperimentRecord, path: Path) -> tuple:
    dataset = path.parent.name
    known = dataset in experiment.datasets
    return (experiment.datasets.index(dataset) if known else len(experiment.datasets), dataset, path.name)


def _cards(folder: Path, runs: Iterable[str]) -> dict[str, ModelCard]:
    paths = {run: folder / "runs" / run / "model.json" for run in runs}
    return {run: read_record(path, ModelCard) for run, path in paths.items() if path.is_file()}


def _missing(
    folder: Path, experiment: ExperimentRecord, results: Iterable[TaskResult], cards: dict[str, ModelCard]
) -> Iterable[Missing]:
    done = {(result.run, result.dataset, result.task) for result in results}
    for run in experiment.runs:
        job = jobs.evaluate(folder, run) if run in cards else jobs.pretrain(folder, run)
        for dataset in experiment.datasets:
            for task in benchmark.get(dataset).tasks:
                if (run, dataset, task) not in done:
                    yield Missing(run, dataset, task, job)


def _check(
    folder: Path, experiment: ExperimentRecord, results: tuple[TaskResult, ...], cards: dict[str, ModelCard]
) -> None:
    def path(result: TaskResult) -> str:
        return str(_document(folder, result.run, result.dataset, result.task))

    def card_path(card: ModelCard) -> str:
        return str(folder / "runs" / card.run / "model.json")

    for result in results:
        if result.experiment != experiment.name:
            raise UserError(f"{path(result)} belongs to experiment {result.experiment}, {folder} to {experiment.name}")
    _refuse(results, "the run for {}", _cell, lambda result: result.run, path)
    _refuse(results, "container image", _all, lambda result: result.provenance.image_digest, path)
    _refuse(results, "code version", _all, lambda result: result.provenance.code_version, path)
    _refuse(results, "data of {}", _dataset, lambda result: result.provenance.dataset_sha256, path)
    _refuse(results, "split of {}", _dataset_and_task, lambda result: (result.split, result.n_test), path)
    _refuse(results, "checkpoint of {}", _run, lambda result: result.provenance.checkpoint_sha256, path)
    _refuse(results, "configuration of {}", _run, lambda result: result.provenance.config_hash, path)
    _refuse(cards.values(), "container image of training", _all, lambda card: card.image_digest, card_path)
    _refuse(cards.values(), "code version of training", _all, lambda card: card.code_version, card_path)
    for result in results:
        _same_checkpoint(result, cards.get(result.run), path)


def _refuse(documents: Iterable, what: str, group: Callable, value: Callable, path: Callable[..., str]) -> None:
    """Raise UserError, naming both sides, if two documents of one group differ in what must be one."""
    first = {}
    for document in documents:
        key = group(document)
        other = first.setdefault(key, document)
        if value(other) != value(document):
            raise UserError(
                f"results must not be mixed: {what.format(key)} is {_shown(value(other))} in {path(other)} "
                f"but {_shown(value(document))} in {path(document)}. Run one of them again with the other's, "
                "or keep them as two experiments."
            )


def _same_checkpoint(result: TaskResult, card: ModelCard | None, path: Callable[[TaskResult], str]) -> None:
    if card and card.checkpoint_sha256 != result.provenance.checkpoint_sha256:
        raise UserError(
            f"results must not be mixed: {path(result)} was measured on checkpoint "
            f"{result.provenance.checkpoint_sha256}, but the run's model.json is of {card.checkpoint_sha256}"
        )


def _shown(value: object) -> str:
    return "none (run on the host)" if value is None else str(value)


def _all(_: object) -> str:
    return "the experiment"


def _run(result: TaskResult) -> str:
    return result.run


def _dataset(result: TaskResult) -> str:
    return result.dataset


def _dataset_and_task(result: TaskResult) -> str:
    return f"{result.dataset} ({result.task})"


def _cell(result: TaskResult) -> str:
    return f"{result.variant}, {result.objective}, seed {result.seed}, {result.task} on {result.dataset}"
