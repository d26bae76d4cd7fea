"""The end of a training: the final weights, and the card that says the run is finished."""

from pathlib import Path
from typing import Any

import torch

from kbench import environment, files, provenance
from kbench.identity.code import Code
from kbench.memory import peak_bytes
from kbench.pretrain import metrics
from kbench.pretrain.health import Diverged
from kbench.pretrain.model import save
from kbench.pretrain.selection import kept
from kbench.pretrain.trainer import Trainer
from kbench.records.documents import ModelCard


def finish(trainer: Trainer, run: Path, memory: int, code: Code | None) -> ModelCard:
    """Write the final weights and the card, whose presence says that the run is finished."""
    config = trainer.config
    entries = metrics.read(run / "metrics.jsonl")
    last, chosen = entries[-1], kept(entries, config.training.selection)
    if last["loss"] is None:
        raise Diverged(f"{config.run}: no step of the last ones had a finite loss")
    return _write(
        trainer,
        run,
        memory,
        code,
        final_loss=last["loss"],
        selected_step=chosen["step"],
        held_out_loss=chosen.get("held_out_loss"),
        logit_scale=last["logit_scale"],
    )


def give_up(
    trainer: Trainer, run: Path, memory: int, code: Code | None, reason: Diverged
) -> ModelCard:
    """Write the card of a search's trial that diverged, with the weights as they are: to have no
    loss is its result.
    """
    return _write(trainer, run, memory, code, diverged=str(reason))


def _write(trainer: Trainer, run: Path, memory: int, code: Code | None, **facts: Any) -> ModelCard:
    card = describe(
        trainer,
        run,
        checkpoint_sha256=save(trainer.model, run / "model.safetensors"),
        training_code=code.write(run) if code else None,
        peak_memory_bytes=memory,
        selection=trainer.config.training.selection,
        **facts,
    )
    files.write_json(run / "model.json", card.model_dump(mode="json"))
    return card


def describe(trainer: Trainer, folder: Path, **facts: Any) -> ModelCard:
    """Return the card of weights in a folder, after the steps that were taken; facts: what only
    their keeper knows.
    """
    config, progress = trainer.config, trainer.progress
    samples = progress.step * config.training.batch_size
    known = {
        "final_loss": None,
        "logit_scale": float(trainer.model.similarity.logit_scale().detach()),
    }
    return ModelCard(
        run=config.run,
        variant=config.variant,
        objective=config.objective,
        seed=config.seed,
        config_hash=config.hash,
        code_version=provenance.code_version(),
        torch_version=torch.__version__,
        image_digest=provenance.image_digest(),
        device=provenance.device_name(trainer.device),
        machine=provenance.machine(),
        environment=environment.record(folder, trainer.device),
        **provenance.times(),
        processes=trainer.processes.size,
        parameters=sum(parameter.numel() for parameter in trainer.model.parameters()),
        steps=progress.step,
        samples=samples,
        seconds=progress.seconds,
        samples_per_second=samples / progress.seconds,
        data_wait_fraction=progress.data_seconds / progress.seconds,
        **(known | facts),
    )


def peak_memory(device: str) -> int:
    """Return the most bytes in use at a time: of the device, or of this process without one."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    return peak_bytes()
