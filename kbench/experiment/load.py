"""Read an experiment file, check every name in it, and resolve it into runs."""

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kbench import objective, similarity, tasks, yaml_file
from kbench.datasets import dataset as known_datasets
from kbench.errors import UserError, shown, unknown
from kbench.experiment import differences, tuning
from kbench.experiment.schema import (
    Experiment,
    Imported,
    ImportedModel,
    RunConfig,
    StartedFrom,
    Training,
    Variant,
)
from kbench.experiment.smoke import shrink
from kbench.experiment.tuning import Trial
from kbench.files import canonical_hash, read_json, sha256
from kbench.records.section import explain
from kbench.towers import config as towers
from kbench.towers.config import TowerConfig

EXPERIMENTS = Path("workflow/experiments")
"""Where `--config experiment=NAME` looks, relative to the working directory."""


MODELS = Path("models")
"""Where `kbench model import` writes, relative to the working directory."""


STAND_IN = "demo"
"""The towers of a smoke run, in the place of an imported model's."""


def names() -> list[str]:
    """Return the names of the experiment files."""
    return sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))


def find(name: str) -> Path:
    """Return the path of an experiment given by name or path; UserError with the nearest match if
    there is none.
    """
    if name.endswith((".yaml", ".yml")):
        if not os.path.isfile(name):
            raise UserError(f"no such experiment file: {shown(name)}")
        return Path(name)
    if name not in names():
        raise unknown("experiment", name, names())
    return EXPERIMENTS / f"{name}.yaml"


def load(name: str, smoke: bool = False) -> Experiment:
    """Read and validate an experiment by name or path; with `smoke`, shrink it to a minute of CPU
    time.

    Raises UserError naming the key, what is legal and the nearest match.
    """
    path = find(name)
    values = yaml_file.read(path)
    if not isinstance(values, dict):
        raise UserError(f"{path} is not an experiment: it must be a mapping of keys")
    try:
        experiment = Experiment.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error, Experiment)}") from error
    differences.refuse_false_claim(experiment)
    experiment = _with_tasks(experiment)
    if smoke:
        experiment = shrink(experiment)
    _check_names(experiment)
    return experiment


def resolve(
    experiment: Experiment, chosen: dict[str, dict[str, Any]] | None = None
) -> list[RunConfig]:
    """Return the frozen configuration of every reported run: variants by seeds, with every default
    written out.

    `chosen` holds each variant's tuned values. Without them the runs of an experiment that tunes
    have their names and everything else but these values. Raises UserError for settings a
    similarity does not have, an objective it cannot be trained with, or a grid that some variant
    cannot search.
    """
    if experiment.tuning is not None:
        search(experiment)
    trained = [
        _tuned(experiment, variant, seed, (chosen or {}).get(variant.name, {}))
        for variant in experiment.variants
        for seed in experiment.seeds
    ]
    # A smoke run needs nothing that has to be fetched.
    model = _stand_in if experiment.evaluation.synthetic else imported
    return trained + [model(entry.name) for entry in experiment.models]


def not_imported(experiment: Experiment) -> list[ImportedModel]:
    """Return those of an experiment's models that are not there; of a smoke run, none."""
    if experiment.evaluation.synthetic:
        return []
    paths = {model: MODELS / model.name / "config.json" for model in experiment.models}
    return [model for model, path in paths.items() if not path.is_file()]


def imported(name: str) -> RunConfig:
    """Return the configuration of an imported model; UserError with the nearest match if there is
    none of the name.
    """
    path = MODELS / name / "config.json"
    if not path.is_file():
        there = sorted(path.parent.name for path in MODELS.glob("*/config.json"))
        if not there:
            raise UserError(
                f"no model has been imported, so no '{name}': see `kbench model import`"
            )
        raise unknown("model", name, there)
    return read_run(path)


def _stand_in(name: str) -> RunConfig:
    return RunConfig(
        variant=name,
        similarity="cosine",
        similarity_settings=similarity.parse("cosine", {}).model_dump(mode="json"),
        objective="infonce",
        seed=0,
        corpus=None,
        towers=towers.load(STAND_IN),
        training=None,
        imported=Imported(sha256=None, data=()),
    )


def refuse_changed(name: str, recorded: Imported) -> None:
    """Raise UserError if a file beside an imported model's weights is not the one that was
    recorded.
    """
    for file, digest in recorded.files.items():
        path = MODELS / name / file
        if not path.is_file() or sha256(path) != digest:
            raise UserError(f"{path} is missing or was changed: import the model again")


def search(experiment: Experiment) -> list[Trial]:
    """Return the trials of the experiment's tuning, variant by variant; none if it tunes
    nothing.
    """
    if experiment.tuning is None:
        return []
    settings = {variant.name: _settings(variant) for variant in experiment.variants}
    tuning.check_keys(experiment, list(settings.values()))
    points = [
        (variant, values)
        for variant in experiment.variants
        for values in tuning.points(experiment, variant, settings[variant.name])
    ]
    return [
        Trial(
            variant,
            values,
            _configure(experiment, variant, seed, values, experiment.tuning.epochs),
        )
        for variant, values in points
        for seed in experiment.tuning.seeds_of(variant)
    ]


def _tuned(
    experiment: Experiment, variant: Variant, seed: int, chosen: dict[str, Any]
) -> RunConfig:
    config = _configure(experiment, variant, seed, chosen)
    if experiment.tuning is None:
        return config
    before = _configure(experiment, variant, seed, {}).hash
    identity = canonical_hash([before, experiment.tuning.identity])
    return config.model_copy(update={"search": identity})


def _configure(
    experiment: Experiment,
    variant: Variant,
    seed: int,
    values: dict[str, Any],
    epochs: float | None = None,
) -> RunConfig:
    """Return a run's configuration with some training keys and similarity settings replaced by
    `values`.
    """
    training = experiment.training.model_dump() | {
        k: v for k, v in values.items() if k in Training.model_fields
    }
    if epochs is not None:
        share = epochs / experiment.training.epochs
        training |= {"epochs": epochs, "warmup_epochs": experiment.training.warmup_epochs * share}
    settings = variant.set | {k: v for k, v in values.items() if k not in Training.model_fields}
    variant = variant.model_copy(update={"set": settings})
    try:
        validated = Training.model_validate(training)
    except ValidationError as error:
        raise UserError(f"tuning.grid: {explain(error, Training)}") from error
    return RunConfig(
        variant=variant.name,
        similarity=variant.similarity,
        similarity_settings=_settings(variant),
        objective=_objective(experiment, variant),
        seed=seed,
        fixed_seeds=variant.fixed_seeds,
        corpus=experiment.corpus,
        towers=_towers(experiment, variant),
        training=validated,
        start=_start(experiment),
    )


def _towers(experiment: Experiment, variant: Variant) -> TowerConfig:
    if experiment.start is None:
        return towers.load(experiment.towers, variant.towers)
    if experiment.evaluation.synthetic:
        return towers.load(STAND_IN)
    return imported(experiment.start.model).towers


def _start(experiment: Experiment) -> StartedFrom | None:
    if experiment.start is None:
        return None
    known = Imported(sha256=None, data=())
    if not experiment.evaluation.synthetic:
        known = imported(experiment.start.model).imported
    return StartedFrom(**experiment.start.model_dump(), **known.model_dump())


def read_run(path: Path) -> RunConfig:
    """Read a frozen run configuration; UserError if it is not one, or one of a later kbench."""
    try:
        config = RunConfig.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error, RunConfig)}") from error
    known = RunConfig.model_fields["schema_version"].default
    if config.schema_version != known:
        raise UserError(
            f"{path}: schema version {config.schema_version}, but this kbench reads {known}"
        )
    return config


def _with_tasks(experiment: Experiment) -> Experiment:
    """Return the experiment with its tasks by name: those that come with kbench if it names
    none.
    """
    evaluation = experiment.evaluation
    chosen = {"tasks": tasks.chosen(evaluation.tasks)}
    return experiment.model_copy(update={"evaluation": evaluation.model_copy(update=chosen)})


def _check_names(experiment: Experiment) -> None:
    for variant in experiment.variants:
        if variant.similarity not in similarity.names():
            raise unknown("variant", variant.similarity, similarity.names())
        if (variant.objective or experiment.objective) not in objective.names():
            raise unknown("objective", variant.objective or experiment.objective, objective.names())
    for name in experiment.evaluation.datasets:
        tasks.of(known_datasets.get(name), experiment.evaluation.tasks)
    if experiment.training and experiment.training.test_column is not None:
        known_datasets.get(experiment.training.test_column)
    _check_primary(experiment)


def _check_primary(experiment: Experiment) -> None:
    """Raise UserError if the question that an experiment names is about a task that scores none of
    its datasets, or not the one.
    """
    question, asked = experiment.primary, experiment.evaluation
    if question is None:
        return
    of = {name: tasks.of(known_datasets.get(name), asked.tasks) for name in asked.datasets}
    scored = of.get(question.dataset, {task for names in of.values() for task in names})
    if question.task not in scored:
        raise unknown("task of `primary:` that is scored here", question.task, scored)


def _settings(variant: Variant) -> dict[str, Any]:
    return similarity.parse(variant.similarity, variant.set).model_dump(mode="json")


def _objective(experiment: Experiment, variant: Variant) -> str:
    name = variant.objective or experiment.objective
    reason = objective.get(name).refuse(similarity.get(variant.similarity))
    if reason:
        raise UserError(
            f"variant '{variant.name}' cannot be trained with objective '{name}': {reason}"
        )
    return name
