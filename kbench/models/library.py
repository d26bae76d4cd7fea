"""The folder models/, with one folder for each imported model, written whole or not at all.

config.json          the run's configuration: towers, preprocessing, similarity, objective
model.safetensors    the weights, under kbench's names
origin.json          where it comes from
tokenizer/, text/    what a tokenizer and a text tower of Hugging Face's read, if it has them
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from pydantic import ValidationError

from kbench import environment, files, provenance
from kbench.errors import UserError
from kbench.experiment.load import MODELS, imported, read_run, refuse_changed
from kbench.experiment.schema import Imported, RunConfig
from kbench.identity.stages import Stages
from kbench.memory import peak_bytes
from kbench.pretrain import model as pretrained
from kbench.pretrain.model import ContrastiveModel
from kbench.records.documents import ModelCard, Origin
from kbench.records.section import explain
from kbench.seeds import derive

WEIGHTS, CONFIG, ORIGIN = "model.safetensors", "config.json", "origin.json"

STAND_IN = Origin(source="a smoke run's stand-in, with weights drawn by chance")


def names() -> list[str]:
    """Return the names of all imported models, sorted."""
    return sorted(path.parent.name for path in MODELS.glob(f"*/{CONFIG}"))


def origin(name: str) -> Origin:
    """Return where a model comes from; UserError if that is not recorded."""
    path = MODELS / name / ORIGIN
    try:
        return Origin.model_validate(files.read_json(path))
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error, Origin)}") from error


@contextlib.contextmanager
def new(name: str) -> Iterator[Path]:
    """Yield an empty folder in which a model is put together before `finish` gives it its name;
    what is left of one that was not finished goes.

    UserError if there is a model of the name already.
    """
    if (MODELS / name).exists():
        raise UserError(
            f"there is a model '{name}' already: give this one another name, or remove"
            f" {MODELS / name}"
        )
    folder = MODELS / f".{name}.part"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise files.unwritable(folder, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def finish(folder: Path, config: RunConfig, model: ContrastiveModel, origin: Origin) -> RunConfig:
    """Write weights, configuration and origin into a model's folder, and give it its name."""
    made = Imported(
        sha256=pretrained.save(model, folder / WEIGHTS),
        data=tuple(origin.data),
        files={
            path.relative_to(folder).as_posix(): files.sha256(path)
            for path in sorted(folder.glob("*/*"))
        },
    )
    whole = config.model_copy(update={"imported": made})
    files.write_json(folder / ORIGIN, origin.model_dump(mode="json"))
    files.write_json(folder / CONFIG, whole.model_dump(mode="json"))
    folder.rename(MODELS / config.variant)
    return whole


def take(run: Path) -> ModelCard:
    """Put a model into the folder of the run that evaluates it, whose configuration says which;
    return the card that says it is there.

    UserError if the model is not the one of that configuration any more. Of a smoke run's stand-in
    the weights are drawn.
    """
    config = read_run(run / CONFIG)
    if config.imported is None:
        raise UserError(f"{run} is a run that kbench trains: see `kbench pretrain`")
    if config.imported.sha256 is None:
        return _finish(run, config, _stand_in(config, run), STAND_IN)
    _refuse_other(config)
    _place(MODELS / config.variant / WEIGHTS, run / WEIGHTS)
    if files.sha256(run / WEIGHTS) != config.imported.sha256:
        raise UserError(f"{MODELS / config.variant / WEIGHTS} was changed: import the model again")
    model = pretrained.load(config, run / WEIGHTS)
    return _finish(run, config, model, origin(config.variant))


def _stand_in(config: RunConfig, run: Path) -> ContrastiveModel:
    torch.manual_seed(derive("stand-in", config.variant))
    model = ContrastiveModel(config)
    pretrained.save(model, run / WEIGHTS)
    return model


def _refuse_other(config: RunConfig) -> None:
    """Raise UserError if the model has been replaced since, or a file beside its weights has."""
    if imported(config.variant).hash != config.hash:
        raise UserError(
            f"{MODELS / config.variant} is not the model that this run was planned with: start the"
            " workflow again"
        )
    refuse_changed(config.variant, config.imported)


def _place(source: Path, target: Path) -> None:
    """Give a file a second place, without a second copy where the file system can do that."""
    with files.replacing(target) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def _finish(run: Path, config: RunConfig, model: ContrastiveModel, origin: Origin) -> ModelCard:
    card = ModelCard(
        run=config.run,
        variant=config.variant,
        objective=config.objective,
        seed=config.seed,
        config_hash=config.hash,
        checkpoint_sha256=files.sha256(run / WEIGHTS),
        code_version=provenance.code_version(),
        training_code=Stages().training(config).write(run),
        torch_version=torch.__version__,
        image_digest=provenance.image_digest(),
        device="cpu",
        machine=provenance.machine(),
        environment=environment.record(run, "cpu"),
        **provenance.times(),
        imported=origin,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        final_loss=None,
        logit_scale=model.similarity.logit_scale().item(),
        selection=config.selection,
        peak_memory_bytes=peak_bytes(),
        **dict.fromkeys(("steps", "samples", "seconds"), 0),
        **dict.fromkeys(("samples_per_second", "data_wait_fraction"), 0),
    )
    files.write_json(run / "model.json", card.model_dump(mode="json"))
    return card
