"""Run a task on a dataset of a run and write its result."""

import importlib

import numpy as np
import torch

from kbench import files, provenance
from kbench.benchmark.dataset import Dataset
from kbench.errors import unknown
from kbench.evaluate.run import TrainedRun
from kbench.evaluate.store import Reader
from kbench.evaluate.tasks.outcome import Outcome
from kbench.experiment.schema import Evaluation
from kbench.results.schema import Provenance, TaskResult


def evaluate(run: TrainedRun, dataset: Dataset, task: str, experiment: str, evaluation: Evaluation) -> TaskResult:
    """Score one task from the stored features; writes evaluation/DATASET/TASK.npz, then TASK.json."""
    if task not in dataset.tasks:
        raise unknown(f"task for dataset '{dataset.name}'", task, dataset.tasks)
    features = Reader(run.features(dataset.name))
    outcome = importlib.import_module(f"kbench.evaluate.tasks.{task}").score(
        run, features, evaluation, dataset.main_metric
    )
    result = describe(run, dataset, task, experiment, features, outcome)
    folder = run.folder / "evaluation" / dataset.name
    with files.replacing(folder / f"{task}.npz") as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **outcome.arrays)
    files.write_json(folder / f"{task}.json", result.model_dump(mode="json"))
    return result


def summary(result: TaskResult) -> str:
    """Return a result in one line."""
    shown = (f"{m.name} {'undefined' if m.value is None else format(m.value, '.4f')}" for m in result.metrics)
    return f"{result.run}  {result.dataset}  {result.task}  {'  '.join(shown)}"


def describe(
    run: TrainedRun, dataset: Dataset, task: str, experiment: str, features: Reader, outcome: Outcome
) -> TaskResult:
    """Return an outcome as a result, with what it was measured with and where it comes from."""
    config = run.config
    return TaskResult(
        experiment=experiment,
        run=config.run,
        variant=config.variant,
        objective=config.objective,
        seed=config.seed,
        corpus=config.corpus.name,
        backbone=config.towers.backbone or config.towers.name,
        epochs=config.training.epochs,
        selection=config.training.selection,
        dataset=dataset.name,
        task=task,
        split=dataset.test_split,
        n_test=outcome.n_test,
        metrics=outcome.metrics,
        settings=outcome.settings,
        provenance=Provenance(
            code_version=provenance.code_version(),
            config_hash=config.hash,
            checkpoint_sha256=run.card.checkpoint_sha256,
            dataset_sha256=features.key["dataset_sha256"],
            image_digest=provenance.image_digest(),
            torch_version=torch.__version__,
            device=run.card.device,
            machine=provenance.machine(),
        ),
    )
