"""What a rule's jobs ask of a scheduler: the experiment says how much a job needs, the site where
it may run.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kbench.experiment.schema import Resources
from kbench.slurm.site import Placement, RuleSettings, Site

GPU_RULES = ("pretrain", "features", "features_part")
"""Rules that encode images; all others compute on CPUs and never ask for a GPU."""

HEAVY_RULES = ("corpus", "pretrain", "take", "features", "features_part", "evaluate")
"""Rules that need what the experiment's resources say; the others read and write a little."""

LIGHT = Resources(threads=1, memory_gb=2, hours=1)


@dataclass(frozen=True)
class Request:
    """One job, at its first attempt."""

    rule: str
    placement: Placement
    cpus: int
    memory_mb: int
    minutes: int
    tasks: int
    nodes: int
    gpus: int
    site: Site

    def resources(self) -> dict[str, Any]:
        """Return the rule's `resources:`. Memory and time grow with the attempt."""
        site, extra = self.site, self._signal()
        caps = (site.largest_memory_gb or math.inf) * 1000, (site.longest_hours or math.inf) * 60
        placed = {
            "slurm_partition": self.placement.partition,
            "slurm_account": self.placement.account,
            "qos": self.placement.qos,
            "constraint": self.placement.constraint,
            "slurm_extra": extra,
        }
        return {
            "mem_mb": _growing(self.memory_mb, caps[0]),
            "runtime": _growing(self.minutes, caps[1]),
            **({"devices": self.tasks} if self.rule in GPU_RULES else {}),
            **{key: value for key, value in placed.items() if value},
            **self._gpu_resources(),
            **self._task_resources(),
            **{
                counter(name): int(name == self.placement.partition)
                for name in site.jobs_per_partition
            },
        }

    def options(self) -> list[str]:
        """Return the same as options of sbatch, for asking Slurm what it thinks of them."""
        asked = {
            "partition": self.placement.partition,
            "account": self.placement.account,
            "qos": self.placement.qos,
            "constraint": self.placement.constraint,
            "cpus-per-task": self.cpus,
            "mem": self.memory_mb,
            "time": self.minutes,
            "ntasks": self.tasks,
            "nodes": self.nodes,
            "gpus": self._gpus() if self.gpus and self.site.gpu_request == "gpus" else None,
            "gres": (
                f"gpu:{self._gpus_per_node()}"
                if self.gpus and self.site.gpu_request == "gres"
                else None
            ),
        }
        return [f"--{name}={value}" for name, value in asked.items() if value]

    def _gpu_resources(self) -> dict[str, Any]:
        # Never both: --gpus beside --gres is refused, or counted twice.
        if not self.gpus:
            return {}
        if self.site.gpu_request == "gres":
            return {"gres": f"gpu:{self._gpus_per_node()}", "tasks_per_gpu": 0}
        model = {"gpu_model": self.site.gpu_type} if self.site.gpu_type else {}
        return {"gpu": self.gpus, "tasks_per_gpu": 0, **model}

    def _task_resources(self) -> dict[str, Any]:
        # `mpi` makes the executor leave the starting of tasks to the job's own srun, which is
        # `kbench launch`.
        return {"mpi": "srun", "tasks": self.tasks, "nodes": self.nodes} if self.tasks > 1 else {}

    def _signal(self) -> str | None:
        # Longer than the limit, the warning would stop every attempt as soon as it starts.
        warn = self.site.warn_seconds
        useful = self.rule == "pretrain" and 0 < warn < self.minutes * 60 / 2
        return f"--signal=TERM@{warn}" if useful else None

    def _gpus(self) -> str:
        return f"{self.site.gpu_type}:{self.gpus}" if self.site.gpu_type else str(self.gpus)

    def _gpus_per_node(self) -> str:
        count = math.ceil(self.gpus / self.nodes)
        return f"{self.site.gpu_type}:{count}" if self.site.gpu_type else str(count)


def request(rule: str, resources: Resources, site: Site) -> Request:
    """Return what jobs of `rule` ask for."""
    needs = resources if rule in HEAVY_RULES else LIGHT
    said = site.rules.get(rule, RuleSettings())
    uses_gpu = rule in GPU_RULES and site.gpu_request is not None
    tasks = resources.processes if rule == "pretrain" else 1
    return Request(
        rule=rule,
        placement=said.over(site.gpu.over(site) if uses_gpu else site),
        cpus=said.cpus or needs.threads,
        memory_mb=round((said.memory_gb or needs.memory_gb) * 1000),
        minutes=max(1, round((said.hours or needs.hours) * 60)),
        tasks=tasks,
        nodes=math.ceil(tasks / site.gpus_per_node),
        gpus=tasks if uses_gpu else 0,
        site=site,
    )


def counter(partition: str) -> str:
    """Return the name of the resource that counts the jobs in a partition."""
    return "jobs_in_" + re.sub(r"\W", "_", partition)


def _growing(first: int, cap: float) -> Callable[..., int]:
    def asked(wildcards: object, attempt: int) -> int:
        return int(max(first, min(first * attempt, cap)))

    return asked
