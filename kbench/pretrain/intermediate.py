"""Weights along a training, for experiments that ask to keep them: in folders like a finished
run's, so that whatever scores the last weights scores these.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kbench import files
from kbench.identity.code import Code
from kbench.pretrain import card
from kbench.pretrain.model import save
from kbench.records.intermediate import place

if TYPE_CHECKING:
    from kbench.corpus.manifest import Manifest
    from kbench.experiment.schema import RunConfig
    from kbench.pretrain.trainer import Trainer


class Intermediate:
    """Keeps the weights whenever so many epochs are over, apart from the last, which the run keeps.

    A resumed run writes those again that it gets to again: the same to the last bit.
    """

    def __init__(self, config: RunConfig, run: Path, manifest: Manifest, code: Code | None) -> None:
        self.run, self.code = run, code
        epochs = config.training.keep.every_epochs if config.training.keep else float("inf")
        self.steps = epochs * manifest.pairs / config.training.batch_size

    def due(self, step: int, steps: int) -> bool:
        """Return whether the weights after this step of so many are kept."""
        return step < steps and int(step / self.steps) > int((step - 1) / self.steps)

    def keep_if_due(self, trainer: Trainer) -> None:
        """Write the weights and their card, the card last; of several processes the first one
        does.
        """
        step = trainer.progress.step
        if not (trainer.processes.writes and self.due(step, trainer.steps)):
            return
        folder = place(self.run, step)
        saved = save(trainer.model, folder / "model.safetensors")
        config = trainer.config.model_dump(mode="json")
        files.write_json(folder / "config.json", config)
        code = self.code.write(folder) if self.code else None
        kept = card.describe(
            trainer,
            folder,
            checkpoint_sha256=saved,
            training_code=code,
            peak_memory_bytes=card.peak_memory(trainer.device),
            selected_step=step,
        )
        files.write_json(folder / "model.json", kept.model_dump(mode="json"))
