"""One step of training: model, optimiser and what accumulates."""

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from kbench.corpus.manifest import Manifest
from kbench.experiment.schema import RunConfig
from kbench.pretrain import acceleration, frozen, optimizer
from kbench.pretrain.batch import BatchLoss
from kbench.pretrain.health import Diverged, LateReading
from kbench.pretrain.model import ContrastiveModel
from kbench.pretrain.processes import Processes
from kbench.seeds import derive

AUTOCAST = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Progress:
    """What accumulates over all resumptions of a run."""

    step: int = 0
    seconds: float = 0.0
    data_seconds: float = 0.0
    loss_sum: float | torch.Tensor = 0.0
    loss_steps: int | torch.Tensor = 0
    skipped: int | torch.Tensor = 0
    skipped_in_a_row: int | torch.Tensor = 0
    best_score: float | None = None

    def take_mean_loss(self) -> float | None:
        """Return the mean loss of the steps since the last call, or None if none of them had a
        finite one.
        """
        steps = int(self.loss_steps)
        mean = float(self.loss_sum) / steps if steps else None
        self.loss_sum, self.loss_steps = 0.0, 0
        return mean

    def state(self) -> dict[str, float | None]:
        """Return plain numbers."""
        return {
            name: x.item() if isinstance(x, torch.Tensor) else x for name, x in vars(self).items()
        }


class Trainer:
    """Model, optimiser and the counters that a checkpoint holds.

    Every random number of step t is drawn from a generator seeded by (seed, t), so step and weights
    are the whole state: a resumed run repeats what an uninterrupted one does.
    """

    def __init__(
        self, config: RunConfig, manifest: Manifest, device: str, processes: Processes
    ) -> None:
        torch.manual_seed(derive("initial weights", config.seed_of("initialisation")))
        self.config, self.device, self.processes = config, device, processes
        self.steps = optimizer.steps(config.training, manifest.pairs)
        self.model = ContrastiveModel(config)
        frozen.start(self.model, config)
        self.model.to(device).train()
        acceleration.prepare(self.model, config.training)
        self.loss = processes.parallel(
            BatchLoss(self.model, processes, config.training.micro_batch_size)
        )
        self.optimizer = optimizer.create(self.model, config.training)
        self.scaler = torch.amp.GradScaler(device, enabled=config.training.precision == "fp16")
        norms = [module for module in self.model.modules() if isinstance(module, _BatchNorm)]
        remembering = [*norms, self.model.objective, self.model.similarity]
        self.statistics = [buffer for module in remembering for buffer in module.buffers()]
        self.progress = Progress()
        self.skipped_in_a_row, self._late = 0, LateReading()

    @property
    def finished(self) -> bool:
        """Whether all steps are taken."""
        return self.progress.step >= self.steps

    def state(self) -> dict[str, Any]:
        """Return everything a checkpoint holds."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "progress": self.progress.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's state."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.progress = Progress(**state["progress"])

    def step(self, images: torch.Tensor, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        """Take one optimiser step on this process's part of a batch, or none if loss or gradient
        are not finite.

        Returns loss and gradient norm (before clipping), of the whole batch, as scalars on the
        device. How many steps in a row took none is in `skipped_in_a_row`, on an accelerator one
        step late.
        """
        started = time.monotonic()
        rate = optimizer.learning_rate(self.config.training, self.progress.step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        statistics = [x.clone() for x in self.statistics]
        # Before the forward pass, so that activations can take the memory of the last step's
        # gradients.
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(images, tokens)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = self._clip()
        loss = loss.detach()
        healthy = loss.isfinite() & norm.isfinite()
        # The fused update changes nothing where this is 1, and nobody has to wait for the device to
        # know.
        self.optimizer.found_inf = (~healthy).float()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.model.similarity.clamp_()
        for now, before in zip(self.statistics, statistics, strict=True):
            now.copy_(torch.where(healthy, now, before))
        self._count(loss, healthy)
        self.skipped_in_a_row = self._late.exchange(self.progress.skipped_in_a_row)
        self.progress.seconds += time.monotonic() - started
        return {"loss": loss, "gradient_norm": norm}

    def _loss(self, images: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        precision, step = AUTOCAST[self.config.training.precision], self.progress.step
        # Of what the towers draw themselves, such as dropout, each process has its own.
        seed = self.config.seed_of("steps")
        torch.manual_seed(derive("towers", seed, step, self.processes.rank))
        generator = torch.Generator().manual_seed(derive("random features", seed, step))
        images, tokens = (x.to(self.device, non_blocking=True) for x in (images, tokens))
        with torch.autocast(self.device, precision, enabled=precision != torch.float32):
            return self.loss(images, tokens, generator)

    def _clip(self) -> torch.Tensor:
        """Scale the gradient down to the largest norm that is allowed; returns its norm before."""
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
        if self.config.training.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.config.training.clip_norm, norm)
        return norm

    def _count(self, loss: torch.Tensor, healthy: torch.Tensor) -> None:
        progress = self.progress
        progress.step += 1
        progress.loss_sum = progress.loss_sum + torch.where(healthy, loss, 0).double()
        progress.loss_steps = progress.loss_steps + healthy.long()
        progress.skipped = progress.skipped + (~healthy).long()
        progress.skipped_in_a_row = torch.where(healthy, 0, progress.skipped_in_a_row + 1)

    def end_if_diverged(self, measured: dict[str, torch.Tensor]) -> None:
        """Raise Diverged, with what is known about the last step, if too many in a row were
        skipped.
        """
        if self.skipped_in_a_row <= self.config.training.max_skipped_steps:
            return
        weights = torch.nn.utils.get_total_norm(list(self.model.parameters()))
        raise Diverged(
            f"{self.config.run}: loss or gradient not finite in"
            f" {int(self.progress.skipped_in_a_row)} steps in a row, the last of them"
            f" {self.progress.step} of {self.steps}: loss {float(measured['loss']):g}, gradient"
            f" norm {float(measured['gradient_norm']):g}, norm of all weights {float(weights):g},"
            f" learning rate {self.optimizer.param_groups[0]['lr']:g}, logit scale"
            f" {float(self.model.similarity.logit_scale().detach()):g}. Weights and checkpoints are"
            " from before; try a lower learning_rate, a clip_norm, or another precision"
        )
