"""Encode every image, prompt and caption of a dataset once, for all tasks and all random-feature
draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from kbench.datasets.dataset import Dataset
from kbench.datasets.reader import Split
from kbench.datasets.texts import class_names, templates
from kbench.datasets.transform import Transform
from kbench.evaluate import store
from kbench.evaluate.key import asked, of_data
from kbench.evaluate.run import TrainedRun
from kbench.experiment.schema import Evaluation
from kbench.identity.stages import Stages
from kbench.locations import Locations
from kbench.pretrain import model as pretrained
from kbench.seeds import derive
from kbench.similarity import EVALUATION_ESTIMATOR
from kbench.similarity.features import RandomFeatures
from kbench.similarity.sets import PointSet, Side
from kbench.towers import tokenizer
from kbench.towers.output import TowerOutput

RELEASED_NORMALISER = 1024
"""The released probe scales its 512 random features as if they were 1024."""


class Encoder:
    """A trained model that encodes datasets, loaded once."""

    def __init__(self, run: TrainedRun, evaluation: Evaluation, device: str) -> None:
        self.run, self.evaluation, self.device = run, evaluation, device
        self.model = pretrained.load(run.config, run.weights).to(device)
        self.tokenize = tokenizer.create(run.config.towers)

    def extract(self, dataset: Dataset, locations: Locations) -> bool:
        """Write a dataset's feature folder; returns False if it was there already, made from the
        same key.
        """
        root = dataset.root(locations)
        key = asked(self.run, dataset, self.evaluation) | of_data(dataset, root)
        target = self.run.features(dataset.name)
        if store.present(target, key):
            return False
        Stages().features(self.run.config, self.evaluation).write(self.run.folder)
        # What is wrong with the texts or a split is found before hours are spent on images.
        prompts = (
            (class_names(dataset, root), templates(dataset, root))
            if dataset.kind == "classification"
            else None
        )
        test = Split(dataset, root, dataset.test_split)
        fitted_on = (
            {"train": dataset.train_split, "val": dataset.val_split} if _is_fitted(dataset) else {}
        )
        fitted = {
            name: Split(dataset, root, split)
            for name, split in fitted_on.items()
            if split is not None
        }
        writer = store.Writer(target)
        draws = _draws(self, dataset)
        self._images(writer, dataset, test, "test", draws)
        for name, split in fitted.items():
            self._images(writer, dataset, split, name, draws)
        if prompts is not None:
            self._prompts(writer, *prompts, draws)
        writer.finish(key)
        return True

    @torch.inference_mode()
    def _images(
        self, writer: store.Writer, dataset: Dataset, split: Split, name: str, draws: "Draws"
    ) -> None:
        start, similarity = 0, self.model.similarity
        whole = probed = Transform.of(self.run.config.towers)
        if self.evaluation.linear_probe.released_resize:
            probed = Transform.released_probe(whole.crop)
        uses = {"scoring": whole} if name == "test" else {}
        uses |= {"probe": probed} if _is_fitted(dataset) else {}
        transforms = list(dict.fromkeys(uses.values()))
        for crops in split.crops(self.evaluation.batch_size, transforms):
            encoded = {
                transform: self._encode(crop)
                for transform, crop in zip(transforms, crops, strict=True)
            }
            if "scoring" in uses:
                _, sets = encoded[uses["scoring"]]
                self._represent(
                    writer, "test/images", start, split.size, sets, "image", draws.scoring
                )
            if "probe" in uses:
                output, sets = encoded[uses["probe"]]
                before = similarity.backbone_features(output, "image")
                writer.rows(f"{name}/before_projection", start, split.size, before)
                writer.rows(
                    f"{name}/after_projection",
                    start,
                    split.size,
                    self._probe_features(sets, draws.probe),
                )
            start += len(crops[0])
        labels = split.labels
        if labels.targets:
            writer.whole(f"{name}/targets", labels.targets)
        if labels.scenes:
            writer.whole(f"{name}/scenes", labels.scenes)
            writer.whole(f"{name}/caption_indices", labels.caption_indices)
        if labels.captions:
            writer.whole(f"{name}/caption_images", labels.caption_images)
            self._texts(writer, f"{name}/captions", labels.captions, draws)

    def _encode(self, batch: np.ndarray) -> tuple[TowerOutput, PointSet]:
        """Return what the image tower makes of uint8 images (B, S, S, 3), and the similarity's
        point sets of it.
        """
        output = self.model.encode_images(batch)
        return output, self.model.similarity.embed(output, "image")

    def _prompts(
        self, writer: store.Writer, names: list[str], prompts: list[str], draws: "Draws"
    ) -> None:
        texts = [prompt.replace("{c}", name) for name in names for prompt in prompts]
        self._texts(writer, "prompts", texts, draws)
        writer.whole("prompt_classes", np.repeat(np.arange(len(names)), len(prompts)))

    @torch.inference_mode()
    def _texts(self, writer: store.Writer, name: str, texts: Sequence[str], draws: "Draws") -> None:
        size = self.evaluation.batch_size
        for start in range(0, len(texts), size):
            tokens = torch.from_numpy(self.tokenize(texts[start : start + size])).to(self.device)
            sets = self.model.embed_texts(tokens)
            self._represent(writer, name, start, len(texts), sets, "text", draws.scoring)

    def _represent(
        self,
        writer: store.Writer,
        name: str,
        start: int,
        total: int,
        sets: PointSet,
        side: Side,
        draws: Sequence[RandomFeatures | None],
    ) -> None:
        """Store arrays NAME/KEY of shape (total, draws, ...)."""
        represented = [self.model.similarity.represent(sets, side, draw) for draw in draws]
        for key in represented[0]:
            writer.rows(
                f"{name}/{key}", start, total, torch.stack([one[key] for one in represented], dim=1)
            )

    def _probe_features(self, sets: PointSet, draw: RandomFeatures | None) -> torch.Tensor:
        """Return features after projection, times the square root of the logit scale as in the
        released probe.

        A similarity without explicit features is probed on the weighted mean of its points.
        """
        represented = self.model.similarity.represent(sets, "image", draw)
        features = represented.get("features")
        if features is None:
            features = sets.weighted_mean()
        return features * self.model.similarity.logit_scale().sqrt()


def _is_fitted(dataset: Dataset) -> bool:
    """Return whether something can be fitted to the dataset's features: it has labels and a train
    split.
    """
    return dataset.kind == "classification" and dataset.train_split is not None


@dataclass(frozen=True)
class Draws:
    """Random features of one dataset: several draws to score with, one to probe with; [None] where
    none are used.
    """

    scoring: list[RandomFeatures | None]
    probe: RandomFeatures | None


def _draws(encoder: Encoder, dataset: Dataset) -> Draws:
    evaluation, similarity = encoder.evaluation, encoder.model.similarity
    settings, probe = evaluation.random_features, evaluation.linear_probe

    def draw(use: str, index: int, number: int) -> RandomFeatures | None:
        seed = derive(use, encoder.run.config.seed, dataset.name, index)
        generator = torch.Generator().manual_seed(seed)
        dim, estimator = encoder.model.towers.embed_dim, settings.estimator or EVALUATION_ESTIMATOR
        return similarity.draw(
            dim, generator, number=number, estimator=estimator, device=encoder.device
        )

    count = settings.draws if similarity.uses_random_features else 1
    to_probe = draw("probe draw", 0, probe.random_features)
    if to_probe is not None and probe.released_scaling:
        to_probe = replace(to_probe, nominal=RELEASED_NORMALISER)
    return Draws([draw("scoring draw", index, settings.number) for index in range(count)], to_probe)
