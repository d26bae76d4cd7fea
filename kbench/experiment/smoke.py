"""Shrink any experiment to the same graph of jobs with tiny towers, few steps and synthetic
data.
"""

from typing import Any

from kbench import tasks
from kbench.corpus.kinds.world import WorldCorpus
from kbench.datasets import dataset as known_datasets
from kbench.experiment.schema import Experiment, Keep, Resources

PAIRS = 512
EVALUATION_IMAGES = 64
STEPS = 12
BATCH_SIZE = 32


RUNS = 12
"""At most about as many runs of each kind; an experiment of many variants keeps one seed."""

RESULTS = 160
"""At most about as many results: evaluating on the paper's 13 datasets takes longer than
training.
"""

HELD_OUT_PAIRS = 2 * BATCH_SIZE


def shrink(experiment: Experiment) -> Experiment:
    """Return the smoke form: variants, datasets and tasks stay, everything that costs time
    shrinks.
    """
    random_features = experiment.evaluation.random_features.model_copy(update={"number": 64})
    probe = experiment.evaluation.linear_probe.model_copy(
        update={"strides": (48,), "random_features": 32}
    )
    evaluation = experiment.evaluation.model_copy(
        update={"random_features": random_features, "linear_probe": probe, "synthetic": True}
    )
    # The corpus is one shard, which processes cannot divide; and the tiny towers normalise over the
    # batch.
    resources = Resources(
        threads=1, processes=1, workers=min(1, experiment.resources.workers), memory_gb=3
    )
    return experiment.model_copy(
        update={
            "name": f"{experiment.name}-smoke",
            "recipe": None,
            "evaluation": evaluation,
            "resources": resources,
            **(_what_is_trained(experiment) if experiment.variants else {}),
        }
    )


def _what_is_trained(experiment: Experiment) -> dict[str, Any]:
    """Return what shrinks of an experiment that trains."""
    epochs = STEPS * BATCH_SIZE / PAIRS
    training = {
        "batch_size": BATCH_SIZE,
        "epochs": epochs,
        "warmup_epochs": epochs / 4,
        "micro_batch_size": None,
    }
    if experiment.training.keep is not None:
        training["keep"] = Keep(every_epochs=epochs / 2)
    if experiment.training.test_column is not None:
        training["test_column"] = known_datasets.get(experiment.training.test_column).stand_in
    corpus = WorldCorpus(
        kind="world",
        name=experiment.corpus.name,
        pairs=PAIRS,
        evaluation_images=EVALUATION_IMAGES,
        held_out_pairs=HELD_OUT_PAIRS,
    )
    results = tasks.number(
        map(known_datasets.get, experiment.evaluation.datasets), experiment.evaluation.tasks
    )
    most = max(1, min(RUNS, RESULTS // results) // len(experiment.variants))
    tuning = experiment.tuning and experiment.tuning.model_copy(
        update={"trials": min(most, experiment.tuning.trials), "epochs": None}
    )
    return {
        "corpus": corpus,
        "towers": None if experiment.start else "demo",
        "seeds": experiment.seeds[:most],
        "training": experiment.training.model_copy(update=training),
        "tuning": tuning,
    }
