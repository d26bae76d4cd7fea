"""A trained run as evaluation sees it: its configuration, its card, and its similarity without the
towers.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import nn

from kbench import files, objective, similarity
from kbench.datasets import dataset as known_datasets
from kbench.datasets.dataset import Dataset
from kbench.datasets.part import Part
from kbench.errors import UserError
from kbench.experiment.load import read_run
from kbench.experiment.schema import Evaluation, RunConfig
from kbench.objective.base import Objective
from kbench.records import intermediate
from kbench.records.documents import ModelCard
from kbench.similarity.base import Representation, Similarity

Module = TypeVar("Module", bound=nn.Module)

TOKEN_EMBEDDING = "towers.text.token_embedding.weight"
"""Of open_clip's own text towers, a row for each token id."""


@dataclass(frozen=True)
class TrainedRun:
    """The folder of a finished run. Raises UserError where the run is not finished or its files do
    not match.
    """

    folder: Path

    @functools.cached_property
    def config(self) -> RunConfig:
        """The frozen configuration."""
        return read_run(self.folder / "config.json")

    @functools.cached_property
    def card(self) -> ModelCard:
        """The model's card; its hash must be that of the weights."""
        path = self.folder / "model.json"
        if not path.exists():
            raise UserError(f"no trained model in {self.folder}: run `kbench pretrain` first")
        try:
            card = ModelCard.model_validate(files.read_json(path))
        except ValidationError as error:
            raise UserError(f"{path} is not a model card: {error.errors()[0]['msg']}") from error
        if card.config_hash != self.config.hash:
            raise UserError(
                f"{path} belongs to configuration {card.config_hash}, not to {self.config.hash}"
            )
        return card

    @property
    def weights(self) -> Path:
        """The weights; UserError if they are not those of the card."""
        path = self.folder / "model.safetensors"
        if not path.exists() or files.sha256(path) != self.card.checkpoint_sha256:
            raise UserError(
                f"{path} is missing or differs from model.json: delete model.json and pretrain"
                " again"
            )
        return path

    @property
    def along(self) -> list["TrainedRun"]:
        """This run, and after it those weights along its training that were kept, by step."""
        return [self, *map(TrainedRun, intermediate.finished(self.folder))]

    def features(self, dataset: str) -> Path:
        """Return where a dataset's features lie."""
        return self.folder / "features" / dataset

    def part(self, dataset: str, part: Part) -> Path:
        """Return where the features of a part lie until all parts are there."""
        return self.folder / "parts" / dataset / str(part)

    @functools.cached_property
    def similarity(self) -> Similarity:
        """The similarity with its learned scale; point sets were embedded when features were
        made.
        """
        created = similarity.create(self.config.similarity, self.config.similarity_settings, None)
        if created.has_likelihoods():
            towers, vocabulary = self.config.towers, self._rows(TOKEN_EMBEDDING)
            created.prepare_decoder(towers.embed_dim, vocabulary, towers.context_length - 1)
        return self._learned("similarity", created)

    @functools.cached_property
    def objective(self) -> Objective:
        """The objective with what it learned, such as the bias of the sigmoid loss."""
        return self._learned("objective", objective.create(self.config.objective))

    def estimated_pmi(self, images: Representation, texts: Representation) -> torch.Tensor:
        """Return what the logits of every image with every text say that PMI is, (B, C) nats."""
        scores = self.similarity.compare(images, texts)
        logits = self.similarity.logit_scale().double() * scores.double()
        return self.objective.to_pmi(logits, self.config.compared_pairs)

    def _rows(self, name: str) -> int:
        """Return the number of rows of one of the weights; UserError if it is not there."""
        try:
            with safe_open(self.weights, "pt") as tensors:
                return tensors.get_slice(name).get_shape()[0]
        except SafetensorError as error:
            raise UserError(f"{self.weights} does not hold {name}: {error}") from error

    def _learned(self, part: str, created: Module) -> Module:
        """Return a part of the model with its weights; UserError if they are of another one."""
        wanted = created.state_dict().keys()
        try:
            with safe_open(self.weights, "pt") as tensors:
                created.load_state_dict(
                    {name: tensors.get_tensor(f"{part}.{name}") for name in wanted}
                )
        except (SafetensorError, RuntimeError) as error:
            raise UserError(f"{self.weights} does not hold this {part}: {error}") from error
        return created.eval()


def read_evaluation(path: Path) -> tuple[str, Evaluation]:
    """Return (experiment name, evaluation section) of a frozen evaluation.json."""
    document = files.read_json(path)
    try:
        return document["experiment"], Evaluation.model_validate(document["evaluation"])
    except (KeyError, TypeError, ValidationError) as error:
        raise UserError(f"{path} is not a frozen evaluation: {error}") from error


def datasets(evaluation: Evaluation) -> list[Dataset]:
    """Return the datasets of an evaluation; in a smoke run, stand-ins of the embedded world under
    the same names.
    """
    chosen = [known_datasets.get(name) for name in evaluation.datasets]
    if not evaluation.synthetic:
        return chosen
    return [dataset.substitute() for dataset in chosen]
