"""Which weights of a run are kept: the last, or the best by a rule that every result names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kbench.corpus.manifest import Manifest
from kbench.corpus.usable import usable_shards
from kbench.errors import UserError
from kbench.experiment.schema import RunConfig
from kbench.locations import Locations
from kbench.pretrain.held_out import HeldOut
from kbench.pretrain.model import ContrastiveModel, read_weights, save
from kbench.pretrain.test_column import TestColumn

if TYPE_CHECKING:
    from kbench.pretrain.trainer import Trainer

Measure = Callable[[ContrastiveModel, str], float]


SCORES: dict[str, Callable[[dict[str, float]], float]] = {
    "held-out": lambda measured: -measured["held_out_loss"],
    "test-column": lambda measured: measured["test_column_acc1"],
}
"""What each rule prefers, higher is better; without an entry the last weights stay."""


class Selection:
    """Scores the model at the end of every epoch and keeps the best weights beside the checkpoints.

    Without a rule to choose by, held-out pairs are only scored at the end. A resumed run repeats
    what an uninterrupted one does: the best score and its step are part of the checkpoint, and a
    weights file from a later step than that is written again when the run gets there.
    """

    def __init__(
        self, config: RunConfig, run: Path, manifest: Manifest, locations: Locations
    ) -> None:
        self.rule = config.training.selection
        self.path = run / "checkpoints" / "best.safetensors"
        self.steps_per_epoch = manifest.pairs / config.training.batch_size
        self.measures: dict[str, Measure] = {}
        if manifest.held_out:
            shards = usable_shards(
                config.corpus, config.corpus.held_out(locations), manifest.held_out
            )
            self.measures["held_out_loss"] = HeldOut(config, shards).loss
        elif self.rule == "held-out":
            raise UserError(
                f"selection 'held-out' needs held-out pairs, of which corpus '{config.corpus.name}'"
                " has none"
            )
        if self.rule == "test-column":
            self.measures["test_column_acc1"] = TestColumn(config, locations).accuracy

    def due(self, step: int, steps: int) -> bool:
        """Return whether the weights after this step are scored."""
        if step == steps:
            return bool(self.measures)
        return self.rule in SCORES and int(step / self.steps_per_epoch) > int(
            (step - 1) / self.steps_per_epoch
        )

    def score(self, trainer: Trainer) -> dict[str, float] | None:
        """Return what was measured, or None where nothing is due; the weights are kept if they are
        the best so far.

        Of several processes the first one measures.
        """
        if not self.due(trainer.progress.step, trainer.steps):
            return None
        if not trainer.processes.writes:
            return {}
        measured = {
            name: measure(trainer.model, trainer.device) for name, measure in self.measures.items()
        }
        score = SCORES[self.rule](measured) if self.rule in SCORES else None
        best = trainer.progress.best_score
        if score is not None and (best is None or score > best):
            save(trainer.model, self.path)
            trainer.progress.best_score = score
        return measured

    def restore(self, model: ContrastiveModel) -> None:
        """Put the best weights into the model; the last ones stay where that is the rule."""
        if self.rule in SCORES:
            model.load_state_dict(read_weights(self.path))


def kept(entries: list[dict[str, float]], rule: str) -> dict[str, float]:
    """Return the entry of a run's log that was made of the weights which its rule kept."""
    if rule not in SCORES:
        return entries[-1]
    scored = [entry for entry in entries if "held_out_loss" in entry or "test_column_acc1" in entry]
    return max(scored, key=SCORES[rule])  # the first one of equals, as in training
