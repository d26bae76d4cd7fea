"""Points that a trained model embeds images and captions as."""

from pathlib import Path

import torch

from kbench.datasets import dataset as known_datasets
from kbench.datasets.reader import Split
from kbench.datasets.transform import Transform
from kbench.evaluate.run import TrainedRun
from kbench.locations import Locations
from kbench.pretrain import model as pretrained
from kbench.towers import tokenizer

DATASET = "world-retrieval"
SAMPLES = 32


@torch.inference_mode()
def points(folder: Path, locations: Locations) -> torch.Tensor:
    """Return the points (n, d), float64, of some images and captions of the embedded world.

    folder: that of a finished run. UserError where the run or the world is not there.
    """
    run, dataset = TrainedRun(folder), known_datasets.get(DATASET)
    model = pretrained.load(run.config, run.weights)
    split = Split(dataset, dataset.root(locations), dataset.test_split)
    images = next(split.batches(SAMPLES, Transform.of(run.config.towers)))
    tokens = torch.from_numpy(tokenizer.create(run.config.towers)(split.labels.captions[:SAMPLES]))
    sets = model.embed_images(images), model.embed_texts(tokens)
    return torch.cat([x.points.flatten(0, 1) for x in sets]).double()
