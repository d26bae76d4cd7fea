"""The released rule of choosing a checkpoint: by the zero-shot accuracy on a test set that is then
reported.

Offered so that published tables can be compared like with like; every result chosen by it says so.
"""

import numpy as np
import torch

from kbench.datasets import dataset as known_datasets
from kbench.datasets.reader import Split
from kbench.datasets.texts import class_names, templates
from kbench.datasets.transform import Transform
from kbench.errors import UserError
from kbench.experiment.schema import RunConfig
from kbench.locations import Locations
from kbench.measures.accuracy import top1
from kbench.pretrain.model import ContrastiveModel
from kbench.seeds import derive
from kbench.similarity.base import Representation
from kbench.towers import tokenizer

BATCH_SIZE = 256
"""Images or prompts encoded at once; does not change results."""


class TestColumn:
    """Zero-shot top-1 accuracy on the test split of a dataset, of the same random features whenever
    it is measured.

    Raises UserError if the dataset is absent or is no classification.
    """

    __test__ = False  # not a test of pytest's, whatever its name

    def __init__(self, config: RunConfig, locations: Locations) -> None:
        dataset = known_datasets.get(config.training.test_column)
        if dataset.kind != "classification":
            raise UserError(
                f"training.test_column '{dataset.name}' is no classification: it has no zero-shot"
                " accuracy"
            )
        root = dataset.root(locations)
        self.transform = Transform.of(config.towers)
        self.split = Split(dataset, root, dataset.test_split)
        names, prompts = class_names(dataset, root), templates(dataset, root)
        texts = [prompt.replace("{c}", name) for name in names for prompt in prompts]
        self.tokens = torch.from_numpy(tokenizer.create(config.towers)(texts))
        self.classes = torch.arange(len(names)).repeat_interleave(len(prompts))

    @torch.inference_mode()
    def accuracy(self, model: ContrastiveModel, device: str) -> float:
        """Return the accuracy as a fraction."""
        was_training = model.training
        model.eval()
        generator = torch.Generator().manual_seed(derive("test column random features"))
        draw = model.similarity.draw(model.towers.embed_dim, generator, device=device)
        texts = [
            model.similarity.represent(model.embed_texts(part), "text", draw)
            for part in self.tokens.split(BATCH_SIZE)
        ]
        prompts, classes = _joined(texts), self.classes.to(device)
        predictions = []
        for batch in self.split.batches(BATCH_SIZE, self.transform):
            images = model.similarity.represent(model.embed_images(batch), "image", draw)
            scores = model.similarity.class_scores(images, prompts, classes)
            predictions.append(scores.argmax(dim=1).cpu().numpy())
        model.train(was_training)
        return top1(np.concatenate(predictions), np.asarray(self.split.labels.targets))


def _joined(parts: list[Representation]) -> Representation:
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
