"""Run a task on a dataset of a run and write its result."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from kbench import environment, files, provenance, tasks
from kbench.datasets.dataset import Dataset
from kbench.errors import UserError, unknown
from kbench.evaluate import key
from kbench.evaluate.run import TrainedRun
from kbench.evaluate.store import Reader
from kbench.experiment.schema import Evaluation
from kbench.identity.stages import Stages
from kbench.records.documents import Metric, Provenance, TaskResult
from kbench.tasks.base import Measure, Outcome


def evaluate(
    run: TrainedRun,
    dataset: Dataset,
    task: str,
    experiment: str,
    evaluation: Evaluation,
    device: str = "cpu",
) -> TaskResult:
    """Score one task from the stored features; writes evaluation/DATASET/TASK.npz, then TASK.json.

    Raises UserError if the features were made with other settings or code, or of other weights.
    """
    legal = tasks.of(dataset, (*tasks.chosen(evaluation.tasks), task))
    if task not in legal:
        raise unknown(f"task for dataset '{dataset.name}'", task, legal)
    features = Reader(run.features(dataset.name))
    key.refuse_others(features, key.asked(run, dataset, evaluation))
    with torch.inference_mode():
        outcome = tasks.get(task).score(run, features, evaluation, device=device)
    result = describe(
        run, dataset, task, experiment, outcome, _identity(run, task, evaluation, features)
    )
    Stages().task(run.config, evaluation, task).write(run.folder)
    path = _path(run, dataset, task)
    with files.replacing(path.with_suffix(".npz")) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **outcome.arrays)
    files.write_json(path, result.model_dump(mode="json"))
    return result


def kept(
    run: TrainedRun, dataset: Dataset, task: str, experiment: str, evaluation: Evaluation
) -> TaskResult | None:
    """Return the result that is there already if `evaluate` would make it from the same and with
    the same, else None.

    What it was made from is known by hashes: neither arrays nor weights are read.
    """
    path = _path(run, dataset, task)
    if not path.is_file() or not path.with_suffix(".npz").is_file():
        return None
    try:
        result = TaskResult.model_validate(files.read_json(path))
    except ValidationError:
        return None
    features = Reader(run.features(dataset.name))
    key.refuse_others(features, key.asked(run, dataset, evaluation))
    wanted = _identity(run, task, evaluation, features)
    made_from = result.provenance.model_dump(include=set(wanted))
    return result if made_from == wanted and result.experiment == experiment else None


def summary(result: TaskResult) -> str:
    """Return a result in one line."""
    shown = (
        f"{m.name} {'undefined' if m.value is None else format(m.value, '.4f')}"
        for m in result.metrics
    )
    return f"{result.run}  {result.dataset}  {result.task}  {'  '.join(shown)}"


def _path(run: TrainedRun, dataset: Dataset, task: str) -> Path:
    return run.folder / "evaluation" / dataset.name / f"{task}.json"


def _identity(
    run: TrainedRun, task: str, evaluation: Evaluation, features: Reader
) -> dict[str, str | None]:
    """Return those keys of the provenance that say whether a result is still right."""
    return {
        "training_code": run.card.training_code,
        "features_code": features.key["features_code"],
        "task_code": Stages().task(run.config, evaluation, task).hash,
        "features": key.identity(features.key),
        "evaluation": files.canonical_hash(_settings(task, evaluation)),
        "config_hash": run.config.hash,
        "checkpoint_sha256": run.card.checkpoint_sha256,
        "dataset_sha256": features.key["dataset_sha256"],
        "image_digest": provenance.image_digest(),
    }


def _settings(task: str, evaluation: Evaluation) -> dict[str, Any]:
    """Return the settings that a task obeys, by their places in the section:
    'random_features.estimator' ...
    """
    section = evaluation.model_dump(mode="json")

    def at(place: str) -> Any:
        value = section
        for part in place.split("."):
            value = value[part]
        return value

    return {place: at(place) for place in tasks.get(task).obeys}


def describe(
    run: TrainedRun,
    dataset: Dataset,
    task: str,
    experiment: str,
    outcome: Outcome,
    identity: dict[str, str | None],
) -> TaskResult:
    """Return an outcome as a result, with what it was measured with and where it comes from."""
    config = run.config
    return TaskResult(
        experiment=experiment,
        run=config.run,
        variant=config.variant,
        objective=config.objective,
        seed=config.seed,
        corpus=config.corpus_name,
        backbone=config.towers.backbone or config.towers.name,
        epochs=config.epochs,
        selection=config.selection,
        dataset=dataset.name,
        task=task,
        split=dataset.test_split,
        n_test=outcome.n_test,
        metrics=metrics(task, dataset.main_metric, outcome),
        settings=outcome.settings,
        provenance=Provenance(
            **identity,
            code_version=provenance.code_version(),
            torch_version=torch.__version__,
            device=run.card.device,
            machine=provenance.machine(),
            environment=environment.record(run.folder),
            **provenance.times(),
        ),
    )


def metrics(task: str, main_metric: str, outcome: Outcome) -> list[Metric]:
    """Return what a task found as it declares it; UserError where it found something else than it
    declares.
    """
    declared = tasks.get(task)
    if set(outcome.values) != set(declared.measures):
        raise UserError(
            f"task '{task}' declares the metrics {', '.join(sorted(declared.measures))} and"
            f" returned {', '.join(sorted(outcome.values))}"
        )
    main = declared.main(main_metric)
    return [_metric(measure, outcome, measure.name == main) for measure in declared.metrics]


def _metric(measure: Measure, outcome: Outcome, main: bool) -> Metric:
    average = outcome.average(measure.name)
    return Metric(
        name=measure.name,
        value=average.value,
        draw_sd=average.draw_sd,
        draws=average.draws,
        unit=measure.unit,
        higher_is_better=measure.higher_is_better,
        main=main,
    )
