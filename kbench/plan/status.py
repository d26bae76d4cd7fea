"""How far the jobs of an experiment are, from what they have left in its folder: here, or on the
cluster that shares it.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from statistics import mean

from kbench import files, lock
from kbench.corpus import manifest
from kbench.errors import UserError
from kbench.experiment.load import read_run
from kbench.experiment.schema import Evaluation, RunConfig
from kbench.plan.measured import Job
from kbench.records import training_log
from kbench.results.jobs import STAGE_FILES

TAIL = 8192
"""Bytes of a log that are looked at."""


class State(StrEnum):
    """Of a job: its file is there; it has begun, and a workflow is at work in the folder; it ended
    with a message; it has begun and nobody is at work; nothing of it is there.
    """

    DONE = "done"
    RUNNING = "running"
    FAILED = "failed"
    STOPPED = "stopped"
    WAITING = "waiting"


@dataclass(frozen=True)
class JobStatus:
    """One job of a run.

    log: where it writes, relative to the results folder; share: of a training, how much of it is
    done; rate: its pairs a second; message: what a failed one said last.
    """

    rule: str
    run: str
    state: State
    log: str
    share: float | None = None
    rate: float | None = None
    message: str = ""


def jobs(results: Path, working: bool | None) -> list[JobStatus]:
    """Return the jobs of every run that is planned, a search's first, in the order of the stages.

    working: whether a workflow is at work in the folder, as `at_work` says; where nobody can know,
    what has begun counts as running. UserError if it is not an experiment's results folder.
    """
    path = results / "experiment.json"
    if not path.is_file():
        raise UserError(f"{results} is not an experiment's results folder: it has no {path.name}")
    trials = sorted(config.parent.name for config in results.glob("search/*/config.json"))
    planned = [("search", run, ("training",)) for run in trials]
    planned += [("runs", run, tuple(STAGE_FILES)) for run in files.read_json(path)["runs"]]
    begun = working is not False
    trained = [
        _job(results, part, run, stage, begun) for part, run, stages in planned for stage in stages
    ]
    return [*trained, *_parts(results, files.read_json(path)["runs"], begun)]


def at_work(results: Path) -> bool | None:
    """Return whether a workflow starts jobs in the folder; None where the system cannot tell."""
    return lock.is_held(results)


def seconds_left(statuses: Sequence[JobStatus], measured: Sequence[Job]) -> float | None:
    """Return how long the jobs that are left take, as many at once as run now and each as long as
    those of its rule that are done; None where none of a rule is done, or nothing runs.
    """
    left = [status for status in statuses if status.state is not State.DONE]
    running = sum(status.state is State.RUNNING for status in left)
    each = {
        rule: mean(job.seconds for job in measured if job.rule == rule)
        for rule in {job.rule for job in measured}
    }
    if not running or any(status.rule not in each for status in left):
        return None
    return sum((1 - (status.share or 0)) * each[status.rule] for status in left) / running


RULES = {"training": "pretrain", "features": "features", "task": "evaluate"}


def _job(results: Path, part: str, run: str, stage: str, working: bool) -> JobStatus:
    folder = results / part / run
    config = read_run(folder / "config.json") if (folder / "config.json").is_file() else None
    rule = "take" if stage == "training" and config and config.imported else RULES[stage]
    inner = f"{part}/" if rule == "pretrain" else ""
    log = f"logs/{rule}/{inner}{run}.log"
    state, message = _state(folder / STAGE_FILES[stage], results / log, working)
    begun = rule == "pretrain" and state not in (State.DONE, State.WAITING)
    share, rate = _progress(results, folder, config) if begun else (None, None)
    return JobStatus(rule, run, state, log, share, rate, message)


def _parts(results: Path, runs: Sequence[str], working: bool) -> Iterator[JobStatus]:
    """Yield the jobs that encode parts of large datasets."""
    section = files.read_json(results / "evaluation.json")["evaluation"]
    try:
        parts = Evaluation.model_validate(section).parts()
    except UserError:
        # A dataset of another working folder: how large it is cannot be told from here.
        return
    for run, (dataset, part) in itertools.product(runs, parts):
        log = f"logs/features_part/{run}/{dataset}/{part}.log"
        done = results / "runs" / run / "parts" / dataset / f"{part}.json"
        state, message = _state(done, results / log, working)
        yield JobStatus("features_part", run, state, log, message=message)


def _state(done: Path, log: Path, working: bool) -> tuple[State, str]:
    """Return the state of a job that leaves `done`, and what it said if it failed."""
    if done.is_file():
        return State.DONE, ""
    if not log.is_file():
        return State.WAITING, ""
    message = _last_message(log)
    return (State.FAILED if message else State.RUNNING if working else State.STOPPED), message


def _last_message(log: Path) -> str:
    """Return what a job said when it ended in an error; empty if it did not."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - TAIL))
        lines = stream.read().decode("utf-8", errors="replace").replace("\r", "\n").splitlines()
    said = [line for line in lines if line.startswith("kbench: ")]
    traced = any(line.startswith("Traceback") for line in lines)
    return said[-1] if said else lines[-1] if traced else ""


def _progress(
    results: Path, folder: Path, config: RunConfig | None
) -> tuple[float | None, float | None]:
    """Return the share of a training that is logged, and its pairs a second."""
    entries = training_log.read(folder / "metrics.jsonl")
    corpus = results / "corpus.json"
    if not entries or config is None or not corpus.is_file():
        return None, None
    seen = entries[-1]["step"] * config.training.batch_size
    asked = config.training.epochs * manifest.read(corpus).pairs
    return min(1.0, seen / asked), entries[-1]["samples_per_second"]


def by_rule(statuses: Sequence[JobStatus]) -> Iterator[tuple[str, dict[State, int]]]:
    """Yield each rule and how many of its jobs are in each state."""
    for rule in dict.fromkeys(status.rule for status in statuses):
        states = [status.state for status in statuses if status.rule == rule]
        yield rule, {state: states.count(state) for state in State}
