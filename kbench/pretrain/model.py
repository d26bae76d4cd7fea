"""Towers, similarity and objective put together."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from kbench import files, objective, similarity
from kbench.errors import UserError
from kbench.experiment.schema import RunConfig
from kbench.similarity.base import Representation
from kbench.similarity.features import RandomFeatures
from kbench.similarity.sets import PointSet
from kbench.towers.model import Towers
from kbench.towers.output import Side, TowerOutput


class ContrastiveModel(nn.Module):
    """Everything that pretraining learns. No branch on the similarity: it embeds, represents and
    compares.
    """

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.towers = Towers(config.towers)
        self.towers.freeze(config.start.frozen if config.start else ())
        self.remembered: dict[Side, Callable[[torch.Tensor], TowerOutput]] = {}
        self.similarity = similarity.create(
            config.similarity, config.similarity_settings, self.towers.widths
        )
        if self.similarity.takes.needs_tokens and not self.towers.has_tokens:
            raise UserError(
                f"towers '{config.towers.name}' give their embeddings alone, and"
                f" {config.similarity} compares every token; legal: a similarity of pooled"
                " embeddings, such as cosine"
            )
        if self.similarity.has_likelihoods():
            self._prepare_decoder(config)
        self.objective = objective.create(config.objective)
        if self.objective.sees_features:
            self.objective.prepare(self._feature_width())
        for name in ("mean", "std"):
            values = torch.tensor(getattr(config.towers.preprocessing, name))
            self.register_buffer(name, values.view(3, 1, 1) * 255, persistent=False)

    def _prepare_decoder(self, config: RunConfig) -> None:
        if self.towers.vocabulary is None:
            raise UserError(
                f"the text tower of '{config.towers.name}' reads a text as a whole, and"
                f" {config.similarity} asks it for the next word; legal: a tower of open_clip's own"
                " with its causal mask, as CLIP's"
            )
        towers = self.towers
        positions = towers.context_length - 1
        self.similarity.prepare_decoder(towers.embed_dim, towers.vocabulary, positions)

    def _feature_width(self) -> int:
        """Return how many explicit features a sample has."""
        dimension = self.similarity.point_dimension(self.towers.embed_dim)
        point = PointSet(torch.ones(1, 1, dimension), torch.ones(1, 1))
        draw = self.similarity.draw(self.towers.embed_dim, torch.Generator())
        return self.similarity.represent(point, "image", draw)["features"].shape[1]

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Turn uint8 images (B, 3, S, S) into float32 with the towers' mean and standard deviation
        removed.
        """
        return (images.float() - self.mean) / self.std

    def encode_images(self, batch: np.ndarray) -> TowerOutput:
        """Return what the image tower makes of uint8 images (B, S, S, 3), as readers yield them."""
        images = torch.from_numpy(batch).permute(0, 3, 1, 2).to(self.mean.device)
        return self.towers.encode_image(self.normalise(images))

    def embed_images(self, batch: np.ndarray) -> PointSet:
        """Return the point sets of uint8 images (B, S, S, 3)."""
        return self.similarity.embed(self.encode_images(batch), "image")

    def embed_texts(self, tokens: torch.Tensor) -> PointSet:
        """Return the point sets of captions (B, T), no more of each computed than these take."""
        alone = not self.similarity.takes.needs_tokens
        output = self.towers.encode_text(tokens.to(self.mean.device), pooled_alone=alone)
        return self.similarity.embed(output, "text")

    def compute(self, side: Side, inputs: torch.Tensor) -> TowerOutput:
        """Return what a tower makes of images (B, 3, S, S) uint8 or captions (B, T)."""
        if side == "image":
            return self.towers.encode_image(self.normalise(inputs))
        return self.towers.encode_text(inputs.to(self.mean.device))

    def draw(self, generator: torch.Generator) -> RandomFeatures | None:
        """Return random features for the embedding dimension, or None where the similarity uses
        none.
        """
        return self.similarity.draw(self.towers.embed_dim, generator, device=self.mean.device)

    def represent_images(self, images: torch.Tensor, draw: RandomFeatures | None) -> Representation:
        """Return what scores of images (B, 3, S, S) uint8 are computed from."""
        return self._represent("image", images, draw)

    def represent_texts(self, tokens: torch.Tensor, draw: RandomFeatures | None) -> Representation:
        """Return what scores of captions (B, T) are computed from."""
        return self._represent("text", tokens, draw)

    def _represent(
        self, side: Side, inputs: torch.Tensor, draw: RandomFeatures | None
    ) -> Representation:
        encode = self.remembered.get(side) if self.training else None
        output = encode(inputs) if encode else self.compute(side, inputs)
        sets = self.similarity.embed(output, side)
        return self.similarity.represent(sets, side, draw, check=not self.training)

    def compare(self, images: Representation, texts: Representation) -> torch.Tensor:
        """Return scaled scores (B, C) of every image with every caption."""
        return self.similarity.logit_scale() * self.similarity.compare(images, texts)

    def loss_of_features(self, images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar, of the features (B, F) of both sides of all pairs."""
        with torch.autocast(images.device.type, enabled=False):
            return self.objective.of_features(images, texts, self.similarity.logit_scale())

    def logits(
        self, images: torch.Tensor, tokens: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """Return scaled scores (B, B) of every image (B, 3, S, S) uint8 with every caption (B, T).

        Random features, where the similarity uses them, are drawn anew from the generator.
        """
        draw = self.draw(generator)
        return self.compare(self.represent_images(images, draw), self.represent_texts(tokens, draw))

    def forward(
        self, images: torch.Tensor, tokens: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """Return the objective's loss on a batch, a scalar in nats."""
        if not self.objective.sees_likelihoods:
            return self.objective(self.logits(images, tokens, generator))
        texts = self.represent_texts(tokens, None)
        likelihoods = self.similarity.log_likelihoods(self.represent_images(images, None), texts)
        return self.objective.of_likelihoods(likelihoods)


def save(model: ContrastiveModel, path: Path) -> str:
    """Write the weights as safetensors, whole or not at all; returns the file's SHA-256."""
    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    with files.replacing(path) as temporary:
        save_file(state, temporary)
    return files.sha256(path)


def load(config: RunConfig, path: Path) -> ContrastiveModel:
    """Build the model of a run and read its weights.

    Raises UserError if the file is absent, corrupt, or holds the weights of another architecture.
    """
    model = ContrastiveModel(config)
    state = read_weights(path)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if expected != shapes:
        different = sorted(
            name
            for name in expected.keys() | shapes.keys()
            if expected.get(name) != shapes.get(name)
        )
        raise UserError(
            f"{path} holds another architecture than run {config.run}: {len(different)} tensors"
            f" differ, first {different[0]} (expected {expected.get(different[0])}, found"
            f" {shapes.get(different[0])})"
        )
    model.load_state_dict(state)
    return model.eval()


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a weights file by name; UserError if it is absent or corrupt."""
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise UserError(f"no trained model at {path}: run `kbench pretrain` first") from error
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is corrupt: {error}") from error
