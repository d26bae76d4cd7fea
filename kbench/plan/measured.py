"""What the jobs of experiments that have run took: from their folders, or from their summaries."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from kbench import files, tasks
from kbench.corpus.kinds.world import WorldCorpus
from kbench.datasets import dataset as known_datasets
from kbench.errors import UserError
from kbench.experiment.load import read_run
from kbench.experiment.schema import Evaluation

PER_RUN = ("pretrain", "features", "evaluate")
"""Rules with a job for each run, in order; the others have one for the experiment."""

PARTS = "features_part"
"""The rule whose jobs take work off rule features, wherever a dataset is large: here the time of
both is that of features.
"""

UNITS = {"pretrain": "pairs", "features": "images", "evaluate": "results"}
"""What the time of a job is proportional to."""

WORLD_IMAGES = 3
"""Splits of an evaluation set of the embedded world, each of evaluation_images at least: train,
validation, test.
"""


@dataclass(frozen=True)
class Job:
    """One job that has run."""

    experiment: str
    rule: str
    run: str
    similarity: str
    towers: str
    machine: str
    units: int
    """Pairs, images or results; see UNITS. 1 for a rule with a single job."""
    seconds: float
    bytes: int
    """What it left on disk."""


KEPT = {
    "pretrain": ("model.safetensors", "checkpoints"),
    "features": ("features",),
    "evaluate": ("evaluation",),
}
"""What the jobs of a rule leave in a run's folder."""


def measured(results: Path) -> list[Job]:
    """Return the jobs of an experiment that has run, from its folder, or from the jobs.csv of its
    summary.
    """
    table = results / "summary" / "jobs.csv"
    if not (results / "benchmarks").is_dir():
        return _read(table) if table.exists() else []
    if not (results / "experiment.json").exists():
        return []
    return list(_in_folder(results))


def _in_folder(results: Path) -> Iterator[Job]:
    name = files.read_json(results / "experiment.json")["name"]
    section = files.read_json(results / "evaluation.json")["evaluation"]
    evaluation, world = Evaluation.model_validate(section), _world(results)
    for path in sorted((results / "benchmarks").rglob("*.tsv")):
        rule = path.relative_to(results / "benchmarks").with_suffix("").parts[0]
        folders = (results / part / path.stem for part in ("runs", "search"))
        folder = next((folder for folder in folders if folder.is_dir()), None)
        if rule == PARTS:
            continue
        if rule not in PER_RUN:
            size = sum(_size(world) for world in results.glob("world-*")) if rule == "world" else 0
            yield Job(name, rule, "", "", "", "", 1, _seconds(path), size)
        elif folder is not None and (folder / "model.json").exists():
            card = files.read_json(folder / "model.json")
            points = read_run(folder / "config.json").points
            units = {
                "pretrain": card["samples"],
                "features": images(evaluation, world) * points,
                "evaluate": results_of_a_run(evaluation) * points,
            }
            in_parts = (results / "benchmarks" / PARTS / path.stem).rglob("*.tsv")
            seconds = _seconds(path) + (sum(map(_seconds, in_parts)) if rule == "features" else 0)
            yield _of_run(name, rule, folder, card, units[rule], seconds)


def _of_run(
    experiment: str, rule: str, folder: Path, card: dict[str, Any], units: int, seconds: float
) -> Job:
    config = read_run(folder / "config.json")
    return Job(
        experiment,
        rule,
        folder.name,
        config.similarity,
        config.towers.name,
        machine=card["machine"] if card["device"] == "cpu" else card["device"],
        units=units,
        # A job that was stopped and went on has only its last part in Snakemake's record.
        seconds=max(seconds, card["seconds"]) if rule == "pretrain" else seconds,
        bytes=sum(_size(folder / part) for part in KEPT[rule]),
    )


def write(jobs: Iterable[Job], path: Path) -> None:
    """Write jobs as CSV, for a summary that outlives the run's own files."""
    with (
        files.replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        table = csv.DictWriter(stream, [field.name for field in fields(Job)], lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(job) | {"seconds": f"{job.seconds:.2f}"} for job in jobs)


def _read(path: Path) -> list[Job]:
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return [
                Job(
                    **row
                    | {
                        "units": int(row["units"]),
                        "seconds": float(row["seconds"]),
                        "bytes": int(row["bytes"]),
                    }
                )
                for row in csv.DictReader(stream)
            ]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} is not a table of jobs: {error}") from error


def images(evaluation: Evaluation, world: WorldCorpus | None) -> int:
    """Return the number of images that one run encodes, as published; a dataset without a count
    adds none.
    """
    total = 0
    for name in evaluation.datasets:
        dataset = known_datasets.get(name)
        if dataset.location == "world" or evaluation.synthetic:
            total += WORLD_IMAGES * (
                world.evaluation_images if world else WorldCorpus(kind="world").evaluation_images
            )
        else:
            total += sum(count or 0 for count in dataset.splits.values())
    return total


def images_in_parts(evaluation: Evaluation) -> tuple[int, int]:
    """Return how many of these images one run encodes in jobs of their own, and in how many."""
    parts = evaluation.parts()
    large = [known_datasets.get(name) for name in dict.fromkeys(name for name, _ in parts)]
    counts = (count or 0 for dataset in large for count in dataset.splits.values())
    return sum(counts), len(parts)


def results_of_a_run(evaluation: Evaluation) -> int:
    """Return the number of results of one run."""
    return tasks.number(map(known_datasets.get, evaluation.datasets), evaluation.tasks)


def _world(results: Path) -> WorldCorpus | None:
    corpus = files.read_json(results / "experiment.json")["experiment"]["corpus"]
    of_world = corpus is not None and corpus["kind"] == "world"
    return WorldCorpus.model_validate(corpus) if of_world else None


def _seconds(path: Path) -> float:
    header, values = (
        line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[:2]
    )
    return float(values[header.index("s")])


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())
