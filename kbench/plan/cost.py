"""What an experiment will take, from what the jobs of experiments that have run took."""

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kbench import files
from kbench.corpus.kinds.world import WorldCorpus
from kbench.experiment.schema import Experiment, RunConfig
from kbench.plan.measured import (
    PARTS,
    PER_RUN,
    UNITS,
    Job,
    images,
    images_in_parts,
    results_of_a_run,
)


@dataclass(frozen=True)
class CostEstimate:
    """What the jobs of one rule will take together."""

    rule: str
    similarity: str
    """Of a rule with a job for each run; else empty."""
    jobs: int
    seconds: float | None
    """Of one job; None where nothing comparable has been measured."""
    bytes: int | None
    source: str
    amount: int | None = None
    """Pairs or images of one job; None where they are not known, or of a rule with a single job."""

    @property
    def name(self) -> str:
        """Rule and similarity."""
        return f"{self.rule} {self.similarity}".strip()


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
    in_parts, parts = images_in_parts(experiment.evaluation)
    units = {
        "features": images(experiment.evaluation, world) - in_parts,
        "evaluate": results_of_a_run(experiment.evaluation),
        PARTS: in_parts // max(1, parts),
    }
    estimates = [
        _single(rule, jobs)
        for rule in ("world", "corpus", "compare", "report")
        if (rule != "world" or world) and (rule != "corpus" or experiment.variants)
    ]
    taken = sum(config.imported is not None for config in runs)
    estimates += [_single("take", jobs, taken)] if taken else []
    for rule in (*PER_RUN, *([PARTS] if parts else [])):
        kinds: dict[tuple[str, int | None], list[RunConfig]] = defaultdict(list)
        for config in [*runs, *(trials if rule == "pretrain" else ())]:
            if rule == "pretrain" and config.imported:
                continue
            samples = round(config.epochs * pairs) if pairs is not None and config.epochs else None
            amount = samples if rule == "pretrain" else units[rule] * config.points
            kinds[config.similarity, amount].append(config)
        for (similarity, amount), configs in kinds.items():
            count = len(configs) * (parts if rule == PARTS else 1)
            estimates.append(
                _of_runs(rule, similarity, configs[0].towers.name, amount, count, jobs)
            )
    return estimates


def _single(rule: str, jobs: Sequence[Job], count: int = 1) -> CostEstimate:
    """Return an estimate of a rule whose jobs all take the same."""
    same = [job for job in jobs if job.rule == rule]
    if not same:
        return CostEstimate(rule, "", count, None, None, "not measured")
    return CostEstimate(
        rule,
        "",
        count,
        statistics.mean(j.seconds for j in same),
        max(j.bytes for j in same),
        _source(same),
    )


def _of_runs(
    rule: str, similarity: str, towers: str, amount: int | None, count: int, jobs: Sequence[Job]
) -> CostEstimate:
    measured = "features" if rule == PARTS else rule
    with_towers = [job for job in jobs if job.rule == measured and job.towers == towers]
    # The towers take nearly all of the time: another similarity's rate is better than none, and is
    # named as such.
    same = [job for job in with_towers if job.similarity == similarity] or with_towers
    if not same or amount is None:
        why = (
            f"no run with towers {towers} has been measured"
            if not same
            else "the size of the corpus is not known"
        )
        return CostEstimate(rule, similarity, count, None, None, why, amount)
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
    unit = UNITS[measured]
    each = f"{1 / rate:.0f} {unit}/s" if rate < 1 else f"{rate:.1f} s a {unit[:-1]}"
    source = f"{each}: {other}{_source(same)}"
    return CostEstimate(rule, similarity, count, rate * amount, round(scaled), source, amount)


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

    A run's jobs follow each other, parts of its features beside each other; single jobs come before
    or after all of them.
    """
    if any(part.seconds is None for part in estimates):
        return None
    chains: list[float] = []
    by_rule: dict[str, list[float]] = defaultdict(list)
    for part in estimates:
        kind = part.rule if part.rule in (*PER_RUN, PARTS) else "single"
        by_rule[kind] += [part.seconds] * part.jobs
    for index in range(max((len(by_rule[rule]) for rule in PER_RUN), default=0)):
        chains.append(sum(by_rule[rule][index] for rule in PER_RUN if index < len(by_rule[rule])))
    busy = [0.0] * lanes
    for chain in sorted(chains, reverse=True):
        busy[busy.index(min(busy))] += chain
    return sum(by_rule["single"]) + max(busy) + sum(by_rule[PARTS]) / lanes


def lane_hours(estimates: Sequence[CostEstimate]) -> float | None:
    """Return the hours that pretraining and features take together, one GPU or core each; None if
    not known.
    """
    parts = [part for part in estimates if part.rule in ("pretrain", "features", PARTS)]
    if any(part.seconds is None for part in parts):
        return None
    return sum(part.jobs * part.seconds for part in parts) / 3600


def corpus_pairs(experiment: Experiment, results: Path) -> int | None:
    """Return the number of pairs of the corpus: its manifest's, the embedded world's own, or what
    the experiment states; None if not known.
    """
    if isinstance(experiment.corpus, WorldCorpus):
        return experiment.corpus.pairs
    manifest = results / "corpus.json"
    if manifest.exists():
        return files.read_json(manifest)["pairs"]
    return getattr(experiment.corpus, "samples", None)


def readable(seconds: float) -> str:
    """Return a duration with two figures or so."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.1f} days"


def total_bytes(estimates: Sequence[CostEstimate]) -> int | None:
    """Return what pretraining and features leave on disk, and the others where it is known; None if
    a part of the first two is not.
    """
    large = [part for part in estimates if part.rule in ("pretrain", "features", PARTS)]
    if any(part.bytes is None for part in large):
        return None
    return math.ceil(sum(part.jobs * (part.bytes or 0) for part in estimates))
