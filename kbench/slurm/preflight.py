"""What is looked at before the first job is submitted: would Slurm take each kind of job, and does
one still run?
"""

import os
import sys
import time
from collections.abc import Iterable

from kbench.errors import UserError
from kbench.slurm import cluster
from kbench.slurm import site as sites
from kbench.slurm.request import Request

LEAVE_SECONDS = 120
"""How long jobs that were told to stop may take."""

SETTINGS = {
    "account": ("account", "qos"),
    "qos": ("qos",),
    "partition": ("partition",),
    "feature": ("constraint",),
    "time limit": ("hours", "longest_hours"),
    "memory": ("memory_gb",),
    "generic resource": ("gpu_request", "gpu_type"),
}
"""Words of Slurm's refusals, and the keys of the site file that they are about."""


def check(requests: Iterable[Request]) -> None:
    """Ask Slurm whether it would run each kind of job. Raises UserError with its words and the
    setting to change.
    """
    for request in requests:
        options = request.options()
        process = cluster.ask("sbatch", "--test-only", *options, "--wrap=true")
        if process.returncode:
            said = cluster.words(process)
            raise UserError(
                f"Slurm refuses the jobs of rule '{request.rule}': {said}. Asked:"
                f" {' '.join(options)}. {_advice(request, said)}"
            )


def _advice(request: Request, said: str) -> str:
    keys = next((keys for word, keys in SETTINGS.items() if word in said.lower()), None)
    if keys is None:
        keys = (
            "cpus",
            "memory_gb",
            *(("gpu_request", "gpu_type", "gpus_per_node") if request.gpus else ()),
        )
        return (
            f"No node has all of it: {_change(keys, request)};"
            f" {_nodes(request.placement.partition)}"
        )
    legal = f"; partitions: {', '.join(_names())}" if "partition" in keys else ""
    return f"{_change(keys, request)}{legal}"


def _change(keys: tuple[str, ...], request: Request) -> str:
    ways = []
    for key in keys:
        per_rule = key in ("cpus", "memory_gb", "hours")
        ways.append(f"rules.{request.rule}.{key}" if per_rule else key)
    return f"change {' or '.join(ways)} in {sites.path()}"


def _names() -> list[str]:
    return sorted({partition.name for partition in cluster.partitions()})


def _nodes(name: str | None) -> str:
    """Return what the nodes of a partition, or of the default one, have."""
    chosen = [p for p in cluster.partitions() if (p.name == name if name else p.default)]
    kinds = [f"{p.nodes} x {p.cpus} CPUs, {p.memory_mb} MB, {p.gpus or 'no GPU'}" for p in chosen]
    return f"partition {chosen[0].name if chosen else name} has {', '.join(kinds) or 'no nodes'}"


def stop_leftovers(runs: Iterable[str]) -> None:
    """Stop jobs of these runs that an earlier snakemake in this folder left when it was lost.

    Training jobs write a checkpoint on the way out, and the job that is submitted next goes on from
    there: two jobs never write one run, and nothing is computed twice but the steps since the last
    checkpoint.
    """
    left = _leftovers(set(runs))
    if not left:
        return
    print(
        f"kbench: {len(left)} jobs of an earlier snakemake in this folder still run or wait; they"
        " are stopped with a checkpoint and go on as new jobs",
        file=sys.stderr,
    )
    cluster.ask("scancel", *left)
    deadline = time.monotonic() + LEAVE_SECONDS
    while left := [job for job in left if job in _jobs()]:
        if time.monotonic() > deadline:
            raise UserError(
                f"the jobs {', '.join(left)} do not end: `scancel --signal=KILL {' '.join(left)}`"
            )
        time.sleep(1)


def _leftovers(runs: set[str]) -> list[str]:
    return [job for job, run in _jobs().items() if run in runs]


def _jobs() -> dict[str, str]:
    """Return the run that each of this user's jobs from this folder is of, by job id."""
    process = cluster.ask("squeue", "--me", "--noheader", "--format=%i\t%k\t%Z")
    if process.returncode:
        raise UserError(f"squeue: {cluster.words(process)}")
    jobs = {}
    for line in process.stdout.splitlines():
        job, comment, folder = line.split("\t")
        # The executor writes rule_RULE_wildcards_VALUES, the values joined by underscores, which a
        # run has none of.
        rule, _, values = comment.partition("_wildcards_")
        run = values.rpartition("_")[2]
        if (
            rule.startswith("rule_")
            and run
            and os.path.realpath(folder.strip()) == os.path.realpath(os.getcwd())
        ):
            jobs[job] = run
    return jobs
