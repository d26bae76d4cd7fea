"""Shrink any experiment to the same graph of jobs with tiny towers, few steps and synthetic data."""

from kbench.corpus.kinds.world import WorldCorpus
from kbench.experiment.schema import Experiment

PAIRS = 512
EVALUATION_IMAGES = 64
STEPS = 12
BATCH_SIZE = 32


def shrink(experiment: Experiment) -> Experiment:
    """Return the smoke form: variants, seeds, datasets and tasks stay, everything that costs time shrinks."""
    epochs = STEPS * BATCH_SIZE / PAIRS
    training = experiment.training.model_copy(
        update={"batch_size": BATCH_SIZE, "epochs": epochs, "warmup_epochs": epochs / 4}
    )
    random_features = experiment.evaluation.random_features.model_copy(update={"number": 64})
    probe = experiment.evaluation.linear_probe.model_copy(update={"strides": (48,), "random_features": 32})
    evaluation = experiment.evaluation.model_copy(
        update={"random_features": random_features, "linear_probe": probe, "synthetic": True}
    )
    corpus = WorldCorpus(kind="world", name=experiment.corpus.name, pairs=PAIRS, evaluation_images=EVALUATION_IMAGES)
    return experiment.model_copy(
        update={
            "name": f"{experiment.name}-smoke",
            "corpus": corpus,
            "towers": "demo",
            "training": training,
            "evaluation": evaluation,
        }
    )
