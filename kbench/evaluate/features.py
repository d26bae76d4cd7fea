"""Encode every image, prompt and caption of a dataset once, for all tasks and all random-feature
draws.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kbench.datasets import reader
from kbench.datasets.dataset import Dataset
from kbench.datasets.part import Part, parts
from kbench.datasets.reader import Split
from kbench.datasets.texts import class_names, templates
from kbench.datasets.transform import Transform
from kbench.errors import UserError
from kbench.evaluate import store
from kbench.evaluate.key import asked, of_data, of_part
from kbench.evaluate.overlap import refuse_trained_on
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
        root, target = dataset.root(locations), self.run.features(dataset.name)
        hashes, wanted = reader.hashes(root), asked(self.run, dataset, self.evaluation)
        key = wanted | of_data(dataset, root, hashes)
        if store.present(target, key):
            return False
        refuse_trained_on(self.run.folder, dataset, hashes)
        Stages().features(self.run.config, self.evaluation).write(self.run.folder)
        # What is wrong with the texts or a split is found before hours are spent on images.
        prompts = (
            (class_names(dataset, root), templates(dataset, root)) if dataset.has_classes else None
        )
        splits, draws = _splits(dataset, root), _draws(self, dataset)
        writer, needed = store.Writer(target), list(parts(dataset, self.evaluation.images_per_job))
        if len(needed) == 1:
            self._part(writer, dataset, splits, draws, needed[0])
        else:
            for part in needed:
                self._make_part(dataset, splits, draws, part, wanted, hashes)
            writer.join([store.Reader(self.run.part(dataset.name, part)) for part in needed])
        if prompts is not None:
            self._prompts(writer, *prompts, draws)
        writer.finish(key)
        for part in needed:
            shutil.rmtree(self.run.part(dataset.name, part), ignore_errors=True)
        return True

    def extract_part(self, dataset: Dataset, locations: Locations, part: Part) -> bool:
        """Write the features of one part, for `extract` to put together; returns False if they, or
        the whole dataset's, were there already. UserError if the dataset has no such part.
        """
        root, target = dataset.root(locations), self.run.features(dataset.name)
        known = list(parts(dataset, self.evaluation.images_per_job))
        if len(known) == 1 or part not in known:
            legal = f"1-of-{len(known)} to {known[-1]}" if len(known) > 1 else "no --part"
            raise UserError(f"dataset '{dataset.name}' has no part {part}; legal: {legal}")
        wanted = asked(self.run, dataset, self.evaluation)
        if store.begun_with(target, wanted) and store.present(
            target, wanted | of_data(dataset, root)
        ):
            return False
        Stages().features(self.run.config, self.evaluation).write(self.run.folder)
        splits = _splits(dataset, root)
        return self._make_part(dataset, splits, _draws(self, dataset), part, wanted)

    def _make_part(
        self,
        dataset: Dataset,
        splits: dict[str, Split],
        draws: "Draws",
        part: Part,
        wanted: dict[str, Any],
        hashes: dict[str, str] | None = None,
    ) -> bool:
        """Write the features of a part unless they are there, made from and with the same."""
        size, root = self.evaluation.batch_size, next(iter(splits.values())).root
        shards = [
            shard
            for split in splits.values()
            for shard in split.holding(part.images(split.size, size))
        ]
        names = [str(shard.relative_to(root)) for shard in shards]
        read = {name: hashes[name] for name in names} if hashes else reader.hashes(root, shards)
        target, key = self.run.part(dataset.name, part), of_part(wanted, part, read)
        if store.present(target, key):
            return False
        refuse_trained_on(self.run.folder, dataset, read)
        writer = store.Writer(target)
        self._part(writer, dataset, splits, draws, part)
        writer.finish(key)
        return True

    def _part(
        self,
        writer: store.Writer,
        dataset: Dataset,
        splits: dict[str, Split],
        draws: "Draws",
        part: Part,
    ) -> None:
        for name, split in splits.items():
            within = part.images(split.size, self.evaluation.batch_size)
            self._images(writer, dataset, split, name, draws, within)

    @torch.inference_mode()
    def _images(
        self,
        writer: store.Writer,
        dataset: Dataset,
        split: Split,
        name: str,
        draws: "Draws",
        within: range,
    ) -> None:
        start, total, similarity = 0, len(within), self.model.similarity
        whole = probed = Transform.of(self.run.config.towers)
        if self.evaluation.linear_probe.released_resize:
            probed = Transform.released_probe(whole.crop)
        uses = {"scoring": whole} if name == "test" else {}
        uses |= {"probe": probed} if _is_fitted(dataset) else {}
        transforms = list(dict.fromkeys(uses.values()))
        for crops in split.crops(self.evaluation.batch_size, transforms, within):
            encoded = {
                transform: self._encode(crop)
                for transform, crop in zip(transforms, crops, strict=True)
            }
            if "scoring" in uses:
                _, sets = encoded[uses["scoring"]]
                self._represent(writer, "test/images", start, total, sets, "image", draws.scoring)
            if "probe" in uses:
                output, sets = encoded[uses["probe"]]
                before = similarity.backbone_features(output, "image")
                writer.rows(f"{name}/before_projection", start, total, before)
                after = self._probe_features(sets, draws.probe)
                writer.rows(f"{name}/after_projection", start, total, after)
            start += len(crops[0])
        labels = split.labels
        if labels.targets:
            writer.whole(f"{name}/targets", labels.targets)
        if labels.scenes:
            writer.whole(f"{name}/scenes", labels.scenes)
            writer.whole(f"{name}/caption_indices", labels.caption_indices)
            writer.whole(f"{name}/worlds", labels.worlds)
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

        A similarity without explicit features says what of its points is probed.
        """
        represented = self.model.similarity.represent(sets, "image", draw)
        features = represented.get("features")
        if features is None:
            features = self.model.similarity.probed(sets)
        return features * self.model.similarity.logit_scale().sqrt()


def _splits(dataset: Dataset, root: Path) -> dict[str, Split]:
    """Return what is encoded, the split that is scored first, by what it is used for."""
    used = {"test": dataset.test_split}
    if _is_fitted(dataset):
        used |= {"train": dataset.train_split, "val": dataset.val_split}
    return {use: Split(dataset, root, name) for use, name in used.items() if name is not None}


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
