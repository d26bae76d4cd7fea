"""The loss on pairs that are never trained on, by which settings and checkpoints may be chosen."""

from collections.abc import Iterator

import numpy as np
import torch

from kbench.corpus.usable import UsableShard
from kbench.errors import UserError
from kbench.experiment.schema import RunConfig
from kbench.pretrain.images import cropper
from kbench.pretrain.model import ContrastiveModel
from kbench.seeds import derive
from kbench.towers import tokenizer


class HeldOut:
    """Held-out pairs in fixed batches: the same images, captions and random features whenever they
    are scored.

    Raises UserError if there are too few pairs for one batch of the training batch size.
    """

    def __init__(self, config: RunConfig, shards: list[UsableShard]) -> None:
        self.config, self.shards = config, shards
        self.batch_size = config.training.batch_size
        pairs = sum(shard.pairs for shard in shards)
        if pairs < self.batch_size:
            raise UserError(
                f"{pairs} held-out pairs in corpus '{config.corpus.name}' make no batch of"
                f" {self.batch_size}"
            )
        self.tokenize = tokenizer.create(config.towers)
        self.cropper = cropper(config, None)

    @torch.inference_mode()
    def loss(self, model: ContrastiveModel, device: str) -> float:
        """Return the objective's mean loss over the batches, nats; a last incomplete batch is left
        out.
        """
        was_training = model.training
        model.eval()
        losses = []
        for index, (images, tokens) in enumerate(self._batches()):
            generator = torch.Generator().manual_seed(derive("held-out random features", index))
            losses.append(float(model(images.to(device), tokens.to(device), generator)))
        model.train(was_training)
        return float(np.mean(losses))

    def _batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        images: list[np.ndarray] = []
        captions: list[str] = []
        for image, caption in self._pairs():
            images.append(image)
            captions.append(caption)
            if len(images) == self.batch_size:
                pixels = torch.from_numpy(np.stack(images)).contiguous()
                yield pixels, torch.from_numpy(self.tokenize(captions))
                images, captions = [], []

    def _pairs(self) -> Iterator[tuple[np.ndarray, str]]:
        generator = np.random.default_rng(derive("held-out captions"))
        for shard in self.shards:
            for pair in shard.read(self.cropper.size):
                choice = pair.captions[int(generator.random() * len(pair.captions))]
                yield self.cropper(pair.picture, generator), choice
