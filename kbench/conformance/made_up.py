"""A run and features that nobody trained, of each kind of dataset: what a task is tried on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from kbench import objective, similarity
from kbench.datasets import dataset as known_datasets
from kbench.datasets.dataset import Dataset
from kbench.evaluate.run import TrainedRun
from kbench.evaluate.store import MEANING, Reader, Writer
from kbench.experiment.load import resolve
from kbench.experiment.schema import Experiment, RunConfig

SAMPLES, CAPTIONS, WIDTH, PROMPTS = 300, 2, 16, 3

DATASETS = {
    "classification": "world-shape",
    "multi_label": "world-attributes",
    "retrieval": "world-retrieval",
    "image_caption_selection": "world-negatives",
    "pairs": "world-pairs",
}
"""Kind -> a dataset whose metadata the made-up one has."""


@contextmanager
def features(kind: str) -> Iterator[tuple[TrainedRun, Dataset, Reader]]:
    """Yield a cosine run, a dataset of the kind and its features, in which nothing is related to
    anything.
    """
    counts = {"n_test": SAMPLES, "n_captions": SAMPLES * CAPTIONS}
    dataset = known_datasets.get(DATASETS[kind]).model_copy(update=counts)
    with TemporaryDirectory() as folder:
        writer = Writer(Path(folder) / "features" / dataset.name)
        _write(writer, dataset, np.random.default_rng(0))
        writer.finish({**MEANING, "dataset": dataset.model_dump(mode="json")})
        run = TrainedRun(Path(folder))
        vars(run).update(
            config=configuration(),
            similarity=similarity.create("cosine"),
            objective=objective.create("infonce"),
        )
        yield run, dataset, Reader(run.features(dataset.name))


def configuration() -> RunConfig:
    """Return the configuration of a small run on the embedded world."""
    experiment = {
        "name": "made-up",
        "description": "Not trained.",
        "corpus": {"kind": "world"},
        "towers": "demo",
        "variants": ["cosine"],
        "seeds": [0],
        "training": {"batch_size": 64, "epochs": 1, "warmup_epochs": 0},
        "evaluation": {"datasets": list(DATASETS.values())},
    }
    return resolve(Experiment.model_validate(experiment))[0]


def _write(writer: Writer, dataset: Dataset, random: np.random.Generator) -> None:
    def represent(name: str, number: int) -> None:
        rows = random.standard_normal((number, 1, WIDTH), dtype=np.float32)
        writer.whole(f"{name}/features", rows / np.linalg.norm(rows, axis=-1, keepdims=True))

    represent("test/images", SAMPLES)
    if dataset.has_classes:
        represent("prompts", dataset.n_classes * PROMPTS)
        writer.whole("prompt_classes", np.repeat(np.arange(dataset.n_classes), PROMPTS))
    if dataset.kind == "multi_label":
        shown = random.integers(0, 2, (SAMPLES, dataset.n_classes), dtype=np.uint8)
        writer.whole("test/targets", shown)
    elif dataset.kind == "classification":
        for split in ("train", "val", "test"):
            writer.whole(
                f"{split}/targets", random.permutation(np.arange(SAMPLES) % dataset.n_classes)
            )
            for embedding in ("before_projection", "after_projection"):
                writer.whole(
                    f"{split}/{embedding}",
                    random.standard_normal((SAMPLES, WIDTH), dtype=np.float32),
                )
    elif dataset.captioned:
        represent("test/captions", SAMPLES * CAPTIONS)
        writer.whole("test/caption_images", np.repeat(np.arange(SAMPLES), CAPTIONS))
    else:
        represent("test/captions", SAMPLES)
        for name in ("scenes", "caption_indices"):
            writer.whole(f"test/{name}", random.integers(0, 100, SAMPLES))
