"""Import a model: find it, read its tensors, name them as kbench does, keep them under a name."""

import re
from pathlib import Path
from typing import NamedTuple

import torch

from kbench import files, similarity
from kbench.errors import UserError
from kbench.evaluate.run import TrainedRun
from kbench.experiment.schema import RunConfig
from kbench.models import convert, from_open_clip, library, released, source, weights
from kbench.records.documents import Origin

NAME = r"[a-z0-9][a-z0-9.-]{0,63}"


class ModelRead(NamedTuple):
    """A model that was read: tensors under kbench's names, of which file, trained on what."""

    config: RunConfig
    tensors: dict[str, torch.Tensor]
    file: Path
    data: tuple[str, ...] = ()


def import_model(
    name: str,
    origin: str,
    architecture: str | None = None,
    scored_by: str | None = None,
    licence: str | None = None,
    data: tuple[str, ...] = (),
    sha256: str | None = None,
) -> RunConfig:
    """Import a model as `name` and return its configuration.

    origin: what `source.find` takes, the folder of a model released with arXiv 2404.19228, or that
    of a run of kbench's; scored_by: a similarity without learned weights, None for the one that the
    model was trained with; licence, data: as its authors declare them; sha256: what the file of
    weights must have. UserError if there is no such model, something of it is missing or does not
    fit, or the name is taken.
    """
    if not re.fullmatch(NAME, name):
        raise UserError(f"'{name}' cannot name a model; legal: a-z, 0-9, '.', '-'")
    with library.new(name) as folder:
        model_read = _read(name, origin, architecture, folder, sha256)
        config = model_read.config
        if scored_by is not None:
            config = _scored_by(scored_by, config)
        model = convert.build(config, model_read.tensors)
        declared = Origin(
            source=origin,
            file=model_read.file.name,
            file_sha256=files.sha256(model_read.file),
            licence=licence,
            data=list(data or model_read.data),
        )
        moved = _moved(config, folder, library.MODELS / name)
        return library.finish(folder, moved, model, declared)


def _scored_by(name: str, config: RunConfig) -> RunConfig:
    settings = similarity.parse(name, {}).model_dump(mode="json")
    return config.model_copy(update={"similarity": name, "similarity_settings": settings})


def _read(
    name: str, origin: str, architecture: str | None, folder: Path, sha256: str | None
) -> ModelRead:
    place = Path(origin)
    if (place / "model.json").is_file():
        return _of_run(name, place, sha256)
    if released.is_released(place):
        file = released.checkpoint(place)
        state = weights.read(file, sha256)
        config = released.configuration(name, place, state)
        return ModelRead(
            config, released.tensors(place, state), file, released.training_data(place)
        )
    there = source.find(origin, architecture)
    tensors = convert.from_open_clip(weights.read(there.weights, sha256))
    config = from_open_clip.configuration(name, there, folder, "objective.bias" in tensors)
    return ModelRead(config, tensors, there.weights)


def _of_run(name: str, place: Path, sha256: str | None) -> ModelRead:
    trained = TrainedRun(place)
    if trained.config.imported:
        raise UserError(f"{place} is of an imported model: import that from where it was had")
    untold = dict.fromkeys(("corpus", "training", "search"))
    config = trained.config.model_copy(update={"variant": name, **untold})
    file = trained.weights
    return ModelRead(config, weights.read(file, sha256), file, (trained.config.corpus_name,))


def _moved(config: RunConfig, part: Path, final: Path) -> RunConfig:
    """Return the configuration with the paths of the model's folder once that has its name."""
    text = {
        key: str(final / Path(value).relative_to(part))
        if isinstance(value, str) and Path(value).is_relative_to(part)
        else value
        for key, value in config.towers.text_cfg.items()
    }
    towers = config.towers.model_copy(update={"text_cfg": text})
    return config.model_copy(update={"towers": towers})
