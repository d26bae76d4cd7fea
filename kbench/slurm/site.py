"""What one cluster is like, said in one file that each user writes and that stays out of the
repository.
"""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kbench import yaml_file
from kbench.errors import UserError

VARIABLE = "KBENCH_SLURM_SITE"
"""Path of the site file, where it is not in the working directory."""

DEFAULT = Path("slurm-site.yaml")


class Placement(BaseModel):
    """Where Slurm is to run a job, in sbatch's own terms; null leaves the cluster's default."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    partition: str | None = Field(default=None, description="sbatch --partition")
    account: str | None = Field(default=None, description="sbatch --account")
    qos: str | None = Field(default=None, description="sbatch --qos")
    constraint: str | None = Field(default=None, description="sbatch --constraint")

    def over(self, other: "Placement") -> "Placement":
        """Return `other` with what is set here in its place."""
        return Placement(
            **{key: getattr(self, key) or getattr(other, key) for key in Placement.model_fields}
        )


class RuleSettings(Placement):
    """What the jobs of one rule ask for, in place of the experiment's own resources."""

    cpus: int | None = Field(default=None, ge=1, description="CPUs a task")
    memory_gb: float | None = Field(default=None, gt=0, description="main memory a node, gigabytes")
    hours: float | None = Field(default=None, gt=0, description="time limit")


class Site(Placement):
    """One cluster. Every key may be left out."""

    gpu_request: Literal["gpus", "gres"] | None = Field(
        default=None,
        description="how jobs ask for GPUs: --gpus=N, --gres=gpu:N, or null: never, train on CPUs",
    )
    gpu_type: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9_.]+$", description="as in --gpus=TYPE:N"
    )
    gpus_per_node: int = Field(
        default=4, ge=1, description="processes of one training job on a node at most"
    )
    gpu: Placement = Field(
        default=Placement(), description="where jobs with a GPU run, if elsewhere"
    )
    rules: dict[str, RuleSettings] = Field(
        default={}, description="by the name of the rule, e.g. pretrain"
    )
    largest_memory_gb: float | None = Field(
        default=None, gt=0, description="no retry asks for more memory than this"
    )
    longest_hours: float | None = Field(
        default=None, gt=0, description="no retry asks for more time than this"
    )
    warn_seconds: int = Field(
        default=120, ge=0, description="SIGTERM so long before the time limit of a training job"
    )
    retries: int = Field(
        default=3, ge=0, description="how often a job that failed or was stopped is submitted again"
    )
    jobs: int = Field(default=100, ge=1, description="jobs pending or running at once")
    jobs_per_partition: dict[str, int] = Field(default={}, description="the same, by partition")
    submissions: str = Field(
        default="60/1m", pattern=r"^\d+/\d+[smhd]$", description="at most so many submissions"
    )
    status: Literal["auto", "sacct", "squeue"] = Field(
        default="auto", description="what job states are asked of"
    )
    first_check_seconds: int = Field(
        default=20, ge=1, description="from a submission to the first look at its state"
    )


def path() -> Path:
    """Return where the site file is looked for."""
    return Path(os.environ.get(VARIABLE) or DEFAULT)


def load() -> Site:
    """Read the site file; without one every default holds. Raises UserError for a file that is
    named and absent or says what it may not."""
    from kbench.records.section import explain

    where = path()
    if not where.exists() and VARIABLE not in os.environ:
        return Site()
    try:
        return Site.model_validate(yaml_file.read(where) or {})
    except OSError as error:
        raise UserError(
            f"cannot read the site file {where} (from {VARIABLE}): {error.strerror}"
        ) from error
    except ValidationError as error:
        raise UserError(f"{where}: {explain(error, Site)}") from error
