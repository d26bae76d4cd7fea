"""The documents that a run leaves behind. Every key has a sentence; unknown keys are refused."""

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

SCHEMA_VERSION = 2
"""Raised when a document gains or loses a key. Version 1, of kbench 0.1.0, names no code but a
version as a whole.
"""


class Record(BaseModel):
    """Base of all stored documents: immutable, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def model_post_init(self, _: Any) -> None:
        """Forget which fields were given: nobody asks, and of 100,000 results it is half of what is
        in memory.
        """
        object.__setattr__(self, "__pydantic_fields_set__", _NONE)


_NONE: set[str] = set()


class Versioned(Record):
    """A document that says by which version of its schema it was written; of those known here it is
    read.
    """

    schema_version: int = Field(
        default=SCHEMA_VERSION, description="version of the schema that the document obeys"
    )

    @field_validator("schema_version")
    @classmethod
    def _known(cls, version: int) -> int:
        if not 1 <= version <= SCHEMA_VERSION:
            raise ValueError(
                f"schema version {version}, but this kbench reads 1 to {SCHEMA_VERSION}: use the"
                " kbench that wrote it, or a later one"
            )
        return version


class Provenance(Record):
    """Where a number comes from; rows whose provenance clashes are never averaged."""

    code_version: str = Field(
        description="kbench's version, and a hash over its whole code; shown, never compared"
    )
    training_code: str | None = Field(
        default=None,
        description=(
            "code that trained the weights: runs/RUN/code/HASH.json lists it; null: not recorded"
        ),
    )
    features_code: str | None = Field(
        default=None, description="code that made the features, in the same way"
    )
    task_code: str | None = Field(
        default=None, description="code that scored the task, in the same way"
    )
    features: str | None = Field(
        default=None,
        description=(
            "hash of all that the features were made from and with: weights, data, prompts, draws"
        ),
    )
    evaluation: str | None = Field(
        default=None, description="hash of the evaluation settings that the task obeys"
    )
    config_hash: str = Field(description="identity of the frozen run configuration")
    checkpoint_sha256: str = Field(description="SHA-256 of model.safetensors")
    dataset_sha256: str = Field(
        description="SHA-256 over the dataset's files, names and sizes included"
    )
    image_digest: str | None = Field(
        description="SHA-256 of the container image, or null on the host"
    )
    torch_version: str = Field(description="torch version, with its local build tag")
    device: str = Field(description="'cpu' or the accelerator's name")
    machine: str = Field(description="processor model and number of cores seen by the job")
    environment: str | None = Field(
        default=None,
        description=(
            "what the job ran on: runs/RUN/environments/HASH.json holds it; null: not recorded"
        ),
    )
    started: str | None = Field(
        default=None, description="when the job's last process started, UTC"
    )
    ended: str | None = Field(default=None, description="when the document was written, UTC")


class Metric(Record):
    """One measured number."""

    name: str = Field(
        description="acc1, acc5, mean_per_class_recall, image_retrieval_recall@1, excess_loss ..."
    )
    value: float | None = Field(
        description="the value; accuracies and recalls are fractions; null if undefined"
    )
    draw_sd: float | None = Field(
        default=None,
        description="standard deviation over random-feature draws; null with fewer than two",
    )
    draws: list[float] = Field(default=[], description="the value at each random-feature draw")
    unit: Literal["fraction", "nats", "correlation"] = Field(
        default="fraction", description="unit of value"
    )
    higher_is_better: bool = Field(default=True, description="direction of improvement")
    main: bool = Field(
        default=False, description="whether this is the metric the dataset is reported by"
    )


class TaskResult(Versioned):
    """The outcome of one task on one dataset for one run: evaluation/DATASET/TASK.json."""

    experiment: str = Field(description="name of the experiment")
    run: str = Field(description="identity of the run: VARIANT-sSEED-HASH")
    variant: str = Field(description="label of the similarity variant")
    objective: str = Field(description="training objective")
    seed: int = Field(description="training seed")
    corpus: str = Field(description="name of the pretraining corpus, e.g. world, cifar10, cc3m")
    backbone: str = Field(
        description=(
            "the image tower's name in published tables, e.g. ViT-B/16; else that of the towers,"
            " e.g. demo"
        )
    )
    epochs: float | None = Field(
        description="passes over the corpus, possibly fractional; null: imported, not known"
    )
    selection: str = Field(
        description="checkpoint selection rule: last, held-out or test-column; or imported"
    )
    dataset: str = Field(description="evaluation dataset")
    task: str = Field(
        pattern=r"^[a-z][a-z0-9_]*$", description="evaluation task, a name of `kbench tasks`"
    )
    split: str = Field(description="split that was scored")
    n_test: int = Field(description="number of test images, or pairs of one with a caption")
    metrics: list[Metric] = Field(description="what was measured")
    settings: dict[str, str | int | float | bool | list[float] | None] = Field(
        description=(
            "what the task was run with: prompts, estimator, number of features, chosen C ..."
        )
    )
    provenance: Provenance


class Origin(Record):
    """Where an imported model comes from: models/NAME/origin.json, and in its runs' model.json."""

    source: str = Field(description="as it was asked for: folder, hub, open_clip's list, file, run")
    file: str | None = Field(default=None, description="name of the weights file that was read")
    file_sha256: str | None = Field(default=None, description="SHA-256 of that file")
    licence: str | None = Field(
        default=None, description="of the weights, as declared; null: not declared"
    )
    data: list[str] = Field(
        default=[], description="training data, as declared; empty: not declared"
    )


class ModelCard(Versioned):
    """What pretraining leaves beside model.safetensors, as model.json."""

    run: str = Field(description="identity of the run: VARIANT-sSEED-HASH")
    variant: str = Field(description="label of the similarity variant")
    objective: str = Field(description="training objective")
    seed: int = Field(description="training seed")
    config_hash: str = Field(description="identity of the frozen run configuration")
    checkpoint_sha256: str = Field(description="SHA-256 of model.safetensors")
    code_version: str = Field(
        description="kbench's version, and a hash over its whole code; shown, never compared"
    )
    training_code: str | None = Field(
        default=None,
        description=(
            "code that trained the weights: code/HASH.json beside lists it; null: not recorded"
        ),
    )
    torch_version: str = Field(description="torch version, with its local build tag")
    image_digest: str | None = Field(
        description="SHA-256 of the container image, or null on the host"
    )
    device: str = Field(description="'cpu' or the accelerator's name")
    machine: str = Field(description="processor model and number of cores seen by the job")
    environment: str | None = Field(
        default=None,
        description=(
            "what the job ran on: runs/RUN/environments/HASH.json holds it; null: not recorded"
        ),
    )
    started: str | None = Field(
        default=None, description="when the job's last process started, UTC"
    )
    ended: str | None = Field(default=None, description="when the document was written, UTC")
    imported: Origin | None = Field(
        default=None, description="where an imported model comes from; null: trained by kbench"
    )
    taken_from: str | None = Field(
        default=None,
        description="experiment that trained the run, where it was taken over; null: trained here",
    )
    processes: int = Field(
        default=1, description="training processes, each with its part of every batch"
    )
    parameters: int = Field(description="number of learned parameters")
    steps: int = Field(description="optimiser steps taken")
    samples: int = Field(description="image-text pairs seen")
    seconds: float = Field(description="wall time spent in training steps, over all resumptions")
    samples_per_second: float = Field(description="samples / seconds")
    data_wait_fraction: float = Field(description="share of the wall time spent waiting for data")
    peak_memory_bytes: int = Field(
        description="peak memory of the largest process, or of its accelerator"
    )
    final_loss: float | None = Field(
        description="mean loss over the last logged interval, nats; null of an imported model"
    )
    logit_scale: float = Field(description="learned logit scale at the end")
    selection: str = Field(default="last", description="rule by which the weights were chosen")
    selected_step: int | None = Field(
        default=None, description="optimiser step after which the weights were kept"
    )
    held_out_loss: float | None = Field(
        default=None,
        description="loss of the chosen weights on held-out pairs, nats; null without any",
    )
    diverged: str | None = Field(
        default=None,
        description="why the training of a search's trial ended early; null: it did not",
    )


class LogEntry(Record):
    """One line of metrics.jsonl."""

    step: int = Field(description="optimiser steps taken")
    loss: float | None = Field(
        description="mean loss since the line before, nats; null if no step had a finite one"
    )
    learning_rate: float = Field(description="learning rate of the last step")
    logit_scale: float = Field(description="learned logit scale after the last step")
    gradient_norm: float | None = Field(
        description="norm of the last gradient before clipping; null if not finite"
    )
    skipped_steps: int = Field(
        description="steps skipped so far because loss or gradient were not finite"
    )
    samples_per_second: float = Field(
        description="pairs a second since the line before, mean over processes"
    )
    data_wait_fraction: float = Field(description="share of that time spent waiting for data")
    held_out_loss: float | None = Field(
        default=None, description="loss on held-out pairs, nats, where it was measured"
    )
    test_column_acc1: float | None = Field(
        default=None,
        description="zero-shot top-1 accuracy on the dataset that selection 'test-column' looks at",
    )


class Encoded(Record):
    """All features of a run are there."""

    checkpoint_sha256: str = Field(description="SHA-256 of model.safetensors")
    datasets: list[str] = Field(description="evaluation datasets that were encoded")


class EncodedPart(Record):
    """The features of one part of a large dataset were made."""

    checkpoint_sha256: str = Field(description="SHA-256 of model.safetensors")
    dataset: str = Field(description="evaluation dataset")
    part: str = Field(description="which part of how many, I-of-N")


class FeatureRecord(Record):
    """What lies in a folder of features, written last."""

    key: dict = Field(
        description="all that they were made from and with; features of another key are made again"
    )
    arrays: dict[str, list[int]] = Field(description="name of an array, NAME.npy -> its shape")
    sha256: dict[str, str] = Field(description="name of an array -> SHA-256 of its file")


class Evaluated(Record):
    """All results of a run are there."""

    checkpoint_sha256: str = Field(description="SHA-256 of model.safetensors")
    results: list[str] = Field(description="DATASET/TASK of each")


class CodeRecord(Record):
    """The code of a stage, by whose hash documents name it."""

    modules: dict[str, str] = Field(description="module that was used -> hash of what it does")


class EnvironmentRecord(Record):
    """What a job ran on, by whose hash documents name it: no person, no host, no folder."""

    python: str = Field(description="version of Python")
    system: str = Field(description="operating system and processor architecture")
    packages: dict[str, str | None] = Field(
        description="installed package -> its version; in older records nine, null: not there"
    )
    libjpeg: str | None = Field(description="version of the library that decodes JPEGs")
    machine: str = Field(description="processor model and number of cores seen by the job")
    device: str = Field(description="'cpu' or the accelerator's name")
    cuda: str | None = Field(description="version of CUDA; null without")
    threads: dict[str, int | str | None] = Field(
        description="threads of torch, and OMP_NUM_THREADS"
    )
    checkout: dict[str, str | bool] | None = Field(
        description="commit, and whether files differ; null: installed"
    )


class ExperimentRecord(Record):
    """What an experiment set out to do: experiment.json. Tells missing results from ones never
    asked for.
    """

    name: str = Field(description="name of the experiment; its results lie in results/NAME")
    description: str = Field(description="what the experiment is for, one sentence")
    deviations: list[str] = Field(
        description="how it deviates from the released protocol, a sentence each"
    )
    runs: list[str] = Field(description="identities of its runs")
    variants: list[str] = Field(description="labels of its variants")
    seeds: list[int] = Field(description="training seeds, the same for each variant")
    datasets: list[str] = Field(description="evaluation datasets")
    experiment: dict = Field(description="the validated experiment file")

    @property
    def tasks(self) -> list[str] | None:
        """Names of the tasks that its datasets are scored by; None: those that come with kbench, as
        in 0.1.0.
        """
        return self.experiment.get("evaluation", {}).get("tasks")


class TrialRecord(Record):
    """One setting that was tried in a search."""

    values: dict[str, float | int | str | bool | None] = Field(
        description="the settings, by their names in the grid"
    )
    held_out_loss: float | None = Field(
        description=(
            "loss on held-out data, nats, mean over the search's seeds; null if a training diverged"
        )
    )
    run: str = Field(description="identity of the search run, the first one's of several seeds")
    runs: dict[str, float | None] = Field(
        default={}, description="search run -> its loss, where there are several seeds"
    )


class Search(Record):
    """One variant's search."""

    chosen: dict[str, float | int | str | bool | None] = Field(
        description="the settings its runs were made with"
    )
    tried: list[TrialRecord] = Field(description="every setting that was tried")


class TuningRecord(Record):
    """How each variant's settings were chosen: tuning.json. Without it the variants share one
    untuned setting.
    """

    rule: str = Field(description="what decides: 'held-out loss', the lowest is chosen")
    variants: dict[str, Search] = Field(description="label of a variant -> its search")

    @property
    def trials(self) -> set[int]:
        """Numbers of settings tried per variant; one number if all had the same budget."""
        return {len(search.tried) for search in self.variants.values()}


class Look(Record):
    """One look at results: `kbench compare` made a table of them."""

    when: str = Field(description="UTC")
    seeds: tuple[int, ...] = Field(description="training seeds that the experiment asked for then")
    results: int = Field(ge=0, description="results that were there")
    expected: int = Field(ge=0, description="results that it asked for")


class Looks(Versioned):
    """When the results were looked at, as far as the seeds were not the same: looks.json."""

    looks: tuple[Look, ...] = Field(description="the first look, and each with other seeds")


class PublishedRow(Record):
    """One number that somebody published: a row of published.csv or of an imported file."""

    source: str = Field(min_length=1, description="short name of the document")
    url: str = Field(pattern=r"^https?://", description="where the document is")
    table: str = Field(description="table of the document")
    corpus: str = Field(min_length=1, description="pretraining corpus")
    backbone: str = Field(min_length=1, description="image tower")
    epochs: float | None = Field(
        gt=0, description="passes over the corpus; null where the source is silent"
    )
    variant: str = Field(
        min_length=1, description="the method in kbench's name, else in the source's"
    )
    dataset: str = Field(min_length=1, description="evaluation dataset, in kbench's name")
    task: str = Field(min_length=1, description="evaluation task; some are not measured by kbench")
    metric: str = Field(min_length=1, description="metric in kbench's name")
    value: float | None = Field(description="in its unit; null while it is not imported")
    std: float | None = Field(
        default=None, ge=0, description="published sd, in the same unit; null if none"
    )
    note: str = Field(default="", description="what a reader must know before comparing")
    objective: str = Field(
        default="infonce", min_length=1, description="training objective, in kbench's name"
    )
    unit: Literal["percent", "nats", "correlation"] = Field(
        default="percent", description="unit of value"
    )
    split: str | None = Field(
        default=None, description="split that was scored, in kbench's name; null: not stated"
    )
    n_test: int | None = Field(default=None, gt=0, description="test samples; null: not stated")
    image_size: int | None = Field(
        default=None, gt=0, description="resolution, pixels; null: not stated"
    )
    prompts: int | None = Field(
        default=None, gt=0, description="zero-shot prompts of a class; null: not stated"
    )
    weights: str | None = Field(
        default=None,
        description="the very weights, as open_clip lists them, ARCHITECTURE/TAG; null: any"
        " training of the method",
    )

    @model_validator(mode="after")
    def _within_its_unit(self) -> "PublishedRow":
        lowest, highest = {"percent": (0, 100), "nats": (0, math.inf), "correlation": (-1, 1)}[
            self.unit
        ]
        if self.value is not None and not lowest <= self.value <= highest:
            raise ValueError(
                f"value {self.value:g} is not between {lowest} and {highest}, the range of"
                f" {self.unit}"
            )
        if self.std is not None and self.std > highest - lowest:
            raise ValueError(f"std {self.std:g} is wider than the range of {self.unit}")
        return self
