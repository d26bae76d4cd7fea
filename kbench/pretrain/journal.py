"""What a training says while it runs: lines of metrics.jsonl, and the progress bar."""

import math
from typing import Any

import torch

from kbench.pretrain.metrics import MetricsLog
from kbench.pretrain.trainer import Progress, Trainer


class Journal:
    """Writes a line every so many steps, whenever the weights were scored, and after the last step.

    log: None in a process that writes nothing; it still takes part where the processes' numbers are
    averaged.
    """

    def __init__(self, trainer: Trainer, log: MetricsLog | None, every: int, shown: Any) -> None:
        self.trainer, self.log, self.every, self.shown = trainer, log, every, shown
        self.clock = Clock(trainer.progress)

    def note(self, measured: dict[str, torch.Tensor], scores: dict[str, float] | None) -> None:
        """Note a step and what was measured in it; scores: of the weights, None where they were not
        scored.
        """
        self.shown.update(self.trainer.config.training.batch_size)
        if scores is None and self.trainer.progress.step % self.every and not self.trainer.finished:
            return
        entry = self._entry(measured)
        if self.log is not None:
            self.log.append(entry | (scores or {}))
        self.clock = Clock(self.trainer.progress)
        self.shown.set_postfix(loss=entry["loss"], refresh=False)

    def _entry(self, measured: dict[str, torch.Tensor]) -> dict[str, float | None]:
        trainer, progress = self.trainer, self.trainer.progress
        norm = float(measured["gradient_norm"])
        speed = self.clock.read(trainer.config.training.batch_size)
        return {
            "step": progress.step,
            "loss": progress.take_mean_loss(),
            "learning_rate": trainer.optimizer.param_groups[0]["lr"],
            "logit_scale": float(trainer.model.similarity.logit_scale().detach()),
            "gradient_norm": norm if math.isfinite(norm) else None,
            "skipped_steps": int(progress.skipped),
            **{name: trainer.processes.mean(value) for name, value in speed.items()},
        }


class Clock:
    """Throughput since it was made."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.start = progress, Progress(**vars(progress))

    def read(self, batch_size: int) -> dict[str, float]:
        """Return samples per second and the share of time spent waiting for data."""
        seconds = max(self.progress.seconds - self.start.seconds, 1e-9)
        return {
            "samples_per_second": (self.progress.step - self.start.step) * batch_size / seconds,
            "data_wait_fraction": (self.progress.data_seconds - self.start.data_seconds) / seconds,
        }
