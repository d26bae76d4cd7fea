"""What an experiment will take, from what the jobs of experiments that have run took."""

import csv
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from kbench import files, tasks
from kbench.corpus.kinds.world import WorldCorpus
from kbench.datasets import dataset as known_datasets
from kbench.errors import UserError
from kbench.experiment.load import read_run
from kbench.experiment.schema import Evaluation, Experiment, RunConfig

PER_RUN = ("pretrain", "features", "evaluate")
"""Rules with a job for each run, in order; the others have one for the experiment."""

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


@dataclass(frozen=True)
class CostEstimate:
    """What the jobs of one rule will take together."""

    rule: str
    jobs: int
    seconds: float | None
    """Of one job; None where nothing comparable has been measured."""
    bytes: int | None
    source: str


def measured(results: Path) -> list[Job]:
    """Return the jobs of an experiment that has run, from its folder, or from the jobs.csv of its
    summary.
    """
    table = results / "summary" / "jobs.csv"
    if not (results / "benchmarks").is_dir():
        return _read(table) if table.exists() else []
    if not (results / "experiment.json").exists():
        return []
    name = files.read_json(results / "experiment.json")["name"]
    evaluation = Evaluation.model_validate(
        files.read_json(results / "evaluation.json")["evaluation"]
    )
    world = WorldCorpus.model_validate(_world(results)) if _world(results) else None
    found = []
    for path in sorted((results / "benchmarks").rglob("*.tsv")):
        rule = path.relative_to(results / "benchmarks").with_suffix("").parts[0]
        seconds = _seconds(path)
        folder = next(
            (
                f
                for f in (results / "runs" / path.stem, results / "search" / path.stem)
                if f.is_dir()
            ),
            None,
        )
        if rule not in PER_RUN:
            size = sum(_size(world) for world in results.glob("world-*")) if rule == "world" else 0
            found.append(Job(name, rule, "", "", "", "", 1, seconds, size))
        elif folder is not None and (folder / "model.json").exists():
            config, card = read_run(folder / "config.json"), files.read_json(folder / "model.json")
            units = {
                "pretrain": card["samples"],
                "features": images(evaluation, world),
                "evaluate": results_of_a_run(evaluation),
            }
            parts = {
                "pretrain": ("model.safetensors", "checkpoints"),
                "features": ("features",),
                "evaluate": ("evaluation",),
            }
            # A job that was stopped and went on has only its last part in Snakemake's record.
            spent = max(seconds, card["seconds"]) if rule == "pretrain" else seconds
            size = sum(_size(folder / part) for part in parts[rule])
            towers, machine = (
                config.towers.name,
                (card["device"] if card["device"] != "cpu" else card["machine"]),
            )
            found.append(
                Job(
                    name,
                    rule,
                    path.stem,
                    config.similarity,
                    towers,
                    machine,
                    units[rule],
                    spent,
                    size,
                )
            )
    return found


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


def estimate(
    experiment: Experiment,
    runs: Sequence[RunConfig],
    trials: Sequence[RunConfig],
    pairs: int | None,
    jobs: Sequence[Job],
) -> list[CostEstimate]:
    """Return an estimate a rule and kind of run. `pairs` is the size of the corpus, None if that is
    not known.
    """
    world = experiment.corpus if isinstance(experiment.corpus, WorldCorpus) else None
    units = {
        "features": images(experiment.evaluation, world),
        "evaluate": results_of_a_run(experiment.evaluation),
    }
    found = [
        _single(rule, jobs)
        for rule in ("world", "corpus", "compare", "report")
        if rule != "world" or world
    ]
    for rule in PER_RUN:
        kinds: dict[tuple[str, int | None], list[RunConfig]] = defaultdict(list)
        for config in [*runs, *(trials if rule == "pretrain" else ())]:
            training = config.training
            samples = round(training.epochs * pairs) if pairs is not None else None
            kinds[config.similarity, samples if rule == "pretrain" else units[rule]].append(config)
        for (similarity, amount), configs in kinds.items():
            found.append(
                _of_runs(rule, similarity, configs[0].towers.name, amount, len(configs), jobs)
            )
    return found


def _single(rule: str, jobs: Sequence[Job]) -> CostEstimate:
    same = [job for job in jobs if job.rule == rule]
    if not same:
        return CostEstimate(rule, 1, None, None, "not measured")
    return CostEstimate(
        rule, 1, statistics.mean(j.seconds for j in same), max(j.bytes for j in same), _source(same)
    )


def _of_runs(
    rule: str, similarity: str, towers: str, amount: int | None, count: int, jobs: Sequence[Job]
) -> CostEstimate:
    name = f"{rule} {similarity}"
    with_towers = [job for job in jobs if job.rule == rule and job.towers == towers]
    # The towers take nearly all of the time: another similarity's rate is better than none, and is
    # named as such.
    same = [job for job in with_towers if job.similarity == similarity] or with_towers
    if not same or amount is None:
        why = (
            f"no run with towers {towers} has been measured"
            if not same
            else "the size of the corpus is not known"
        )
        return CostEstimate(name, count, None, None, why)
    # A job's start counts for more in a small job: the rate is that of the experiment with jobs
    # nearest in size.
    nearest = min(same, key=lambda job: abs(math.log(job.units / amount)))
    same = [job for job in same if job.experiment == nearest.experiment]
    rate = sum(job.seconds for job in same) / sum(job.units for job in same)
    size = statistics.mean(job.bytes for job in same)
    scaled = (
        size * amount / statistics.mean(job.units for job in same) if rule != "pretrain" else size
    )
    other = (
        ""
        if same[0].similarity == similarity
        else f"{', '.join(sorted({j.similarity for j in same}))} in "
    )
    each = f"{1 / rate:.0f} {UNITS[rule]}/s" if rate < 1 else f"{rate:.1f} s a {UNITS[rule][:-1]}"
    return CostEstimate(
        name, count, rate * amount, round(scaled), f"{each}: {other}{_source(same)}"
    )


def _source(jobs: Sequence[Job]) -> str:
    names, machines = (
        sorted({job.experiment for job in jobs}),
        sorted({job.machine for job in jobs} - {""}),
    )
    on = f" on {', '.join(machines)}" if machines else ""
    return f"{len(jobs)} {'job' if len(jobs) == 1 else 'jobs'} of {', '.join(names)}{on}"


def wall_seconds(estimates: Sequence[CostEstimate], lanes: int) -> float | None:
    """Return the wall time with so many jobs at once, longest runs first; None if a part of it is
    not known.

    A run's jobs follow each other; single jobs come before or after all of them.
    """
    if any(part.seconds is None for part in estimates):
        return None
    chains: list[float] = []
    by_rule: dict[str, list[float]] = defaultdict(list)
    for part in estimates:
        rule = part.rule.split()[0]
        by_rule[rule if rule in PER_RUN else "single"] += [part.seconds] * part.jobs
    for index in range(max((len(by_rule[rule]) for rule in PER_RUN), default=0)):
        chains.append(sum(by_rule[rule][index] for rule in PER_RUN if index < len(by_rule[rule])))
    busy = [0.0] * lanes
    for chain in sorted(chains, reverse=True):
        busy[busy.index(min(busy))] += chain
    return sum(by_rule["single"]) + max(busy)


def lane_hours(estimates: Sequence[CostEstimate]) -> float | None:
    """Return the hours that pretraining and features take together, one GPU or core each; None if
    not known.
    """
    parts = [part for part in estimates if part.rule.startswith(("pretrain", "features"))]
    if any(part.seconds is None for part in parts):
        return None
    return sum(part.jobs * part.seconds for part in parts) / 3600


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


def results_of_a_run(evaluation: Evaluation) -> int:
    """Return the number of results of one run."""
    return tasks.number(map(known_datasets.get, evaluation.datasets), evaluation.tasks)


def corpus_pairs(experiment: Experiment, results: Path) -> int | None:
    """Return the number of pairs of the corpus: its manifest's, or the embedded world's own; None
    if not known.
    """
    if isinstance(experiment.corpus, WorldCorpus):
        return experiment.corpus.pairs
    manifest = results / "corpus.json"
    return files.read_json(manifest)["pairs"] if manifest.exists() else None


def _world(results: Path) -> dict | None:
    corpus = files.read_json(results / "experiment.json")["experiment"]["corpus"]
    return corpus if corpus["kind"] == "world" else None


def _seconds(path: Path) -> float:
    header, values = (
        line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[:2]
    )
    return float(values[header.index("s")])


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())


def readable(seconds: float) -> str:
    """Return a duration with two figures or so."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.1f} days"


def total_bytes(estimates: Sequence[CostEstimate]) -> int | None:
    """Return what all jobs leave on disk; None if a part of it is not known."""
    if any(part.bytes is None for part in estimates):
        return None
    return math.ceil(sum(part.jobs * part.bytes for part in estimates))
