"""The training loop of one run."""

import contextlib
import math
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from kbench import environment, files, provenance
from kbench.corpus import stream
from kbench.corpus.crop import Cropper
from kbench.corpus.manifest import Manifest
from kbench.errors import UserError
from kbench.experiment.schema import RunConfig
from kbench.identity.code import Code
from kbench.identity.stages import Stages
from kbench.locations import Locations
from kbench.memory import peak_bytes
from kbench.pretrain import acceleration, metrics, optimizer
from kbench.pretrain.batch import BatchLoss
from kbench.pretrain.checkpoint import Checkpoints
from kbench.pretrain.distributed import Processes
from kbench.pretrain.health import Diverged, LateReading
from kbench.pretrain.interrupt import Interrupted, StoppedWaiting, StopRequest, stop_requests
from kbench.pretrain.metrics import MetricsLog
from kbench.pretrain.model import ContrastiveModel, save
from kbench.pretrain.selection import Selection, kept
from kbench.progress import bar
from kbench.records.documents import ModelCard
from kbench.seeds import derive
from kbench.towers import tokenizer

LOG_EVERY = 50
"""Steps between two lines of metrics.jsonl."""

CHECKPOINT_SECONDS = 120
"""Wall time between two checkpoints."""

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

    def state(self) -> dict[str, float | None]:
        """Return plain numbers."""
        return {name: x.item() if isinstance(x, torch.Tensor) else x for name, x in vars(self).items()}


class Trainer:
    """Model, optimiser and the counters that a checkpoint holds.

    Every random number of step t is drawn from a generator seeded by (seed, t), so step and weights are the whole
    state: a resumed run repeats what an uninterrupted one does.
    """

    def __init__(self, config: RunConfig, manifest: Manifest, device: str, processes: Processes) -> None:
        torch.manual_seed(derive("initial weights", config.seed))
        self.config, self.device, self.processes = config, device, processes
        self.steps = optimizer.steps(config.training, manifest.pairs)
        self.model = ContrastiveModel(config).to(device).train()
        acceleration.prepare(self.model, config.training)
        self.loss = processes.parallel(BatchLoss(self.model, processes, config.training.micro_batch_size))
        self.optimizer = optimizer.create(self.model, config.training)
        self.scaler = torch.amp.GradScaler(device, enabled=config.training.precision == "fp16")
        self.statistics = [x for m in self.model.modules() if isinstance(m, _BatchNorm) for x in m.buffers()]
        self.progress = Progress()

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
        """Take one optimiser step on this process's part of a batch, or none if loss or gradient are not finite.

        Returns loss and gradient norm (before clipping), of the whole batch, as scalars on the device.
        """
        rate = optimizer.learning_rate(self.config.training, self.progress.step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        statistics = [x.clone() for x in self.statistics]
        # Before the forward pass, so that activations can take the memory of the last step's gradients.
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(images, tokens)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = self._clip()
        loss = loss.detach()
        healthy = loss.isfinite() & norm.isfinite()
        # The fused update changes nothing where this is 1, and nobody has to wait for the device to know.
        self.optimizer.found_inf = (~healthy).float()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.model.similarity.clamp_()
        for now, before in zip(self.statistics, statistics, strict=True):
            now.copy_(torch.where(healthy, now, before))
        self._count(loss, healthy)
        return {"loss": loss, "gradient_norm": norm}

    def _loss(self, images: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        precision, step = AUTOCAST[self.config.training.precision], self.progress.step
        # Of what the towers draw themselves, such as dropout, each process has its own.
        torch.manual_seed(derive("towers", self.config.seed, step, self.processes.rank))
        generator = torch.Generator().manual_seed(derive("random features", self.config.seed, step))
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

    def diverged(self, measured: dict[str, torch.Tensor]) -> Diverged:
        """Return the error that ends the run, with what is known about the last step."""
        weights = torch.nn.utils.get_total_norm(list(self.model.parameters()))
        return Diverged(
            f"{self.config.run}: loss or gradient not finite in {int(self.progress.skipped_in_a_row)} steps in a row,"
            f" the last of them {self.progress.step} of {self.steps}: loss {float(measured['loss']):g}, gradient norm"
            f" {float(measured['gradient_norm']):g}, norm of all weights {float(weights):g}, learning rate"
            f" {self.optimizer.param_groups[0]['lr']:g}, logit scale"
            f" {float(self.model.similarity.logit_scale().detach()):g}. Weights and checkpoints are from"
            " before; try a lower learning_rate, a clip_norm, or another precision"
        )


def pretrain(
    config: RunConfig,
    run: Path,
    manifest: Manifest,
    locations: Locations,
    device: str,
    workers: int,
    processes: Processes | None = None,
) -> ModelCard | None:
    """Train a run into its folder, going on from its last checkpoint, and return its card.

    Writes metrics.jsonl, tensorboard/, checkpoints/ and at the end model.safetensors and, last of all, model.json; of
    several processes the first one does, and the others return None. Raises Interrupted after SIGTERM, SIGINT or
    SIGUSR1, with a checkpoint written, and Diverged.
    """
    training, processes = config.training, processes or Processes()
    trainer = Trainer(config, manifest, device, processes)
    identity = {
        **config.model_dump(mode="json", exclude={"variant"}),
        "corpus_sha256": manifest.sha256,
        "processes": processes.size,
        "loaders_of_a_process": max(workers, 1),
    }
    checkpoints = Checkpoints(run, identity, Stages().training(config))
    state = checkpoints.latest()
    if state is not None:
        trainer.load_state(state)
    if processes.most(trainer.progress.step) != -processes.most(-trainer.progress.step):
        raise UserError(f"not all processes see the same checkpoint in {run}: it must lie on a shared file system")
    if state is not None and processes.writes:
        print(f"{config.run}: going on from step {trainer.progress.step} of {trainer.steps}")
    batches = stream.PairStream(
        config.corpus,
        locations,
        manifest,
        tokenizer.create(config.towers),
        Cropper(config.towers.image_size, training.crop),
        batch_size=processes.share(training.batch_size),
        seed=config.seed,
        rank=processes.rank,
        world_size=processes.size,
        skip=trainer.progress.step,
    )
    selection = Selection(config, run, manifest, locations)
    log = None
    if processes.writes:
        checkpoints.clear_unfinished()
        log = MetricsLog(run / "metrics.jsonl", trainer.progress.step)
    with stop_requests() as request, contextlib.closing(stream.load(batches, workers)) as loader:
        _train(trainer, loader, checkpoints, log, selection, request)
    peak_memory = processes.most(_peak_memory(device))
    if log is None:
        return None
    log.close()
    selection.restore(trainer.model)
    return _finish(trainer, run, peak_memory, checkpoints.code)


def _train(
    trainer: Trainer,
    loader: Any,
    checkpoints: Checkpoints,
    log: MetricsLog | None,
    selection: Selection,
    request: StopRequest,
) -> None:
    """Take the remaining steps; the process that has a log writes it and checkpoints on the way."""
    progress, processes, batches = trainer.progress, trainer.processes, iter(loader)
    clock, saved, skipped = Clock(progress), time.monotonic(), LateReading()
    # One of several processes cannot leave the others in the middle of a step.
    waiting = request.ends_waiting if processes.size == 1 else contextlib.nullcontext
    size = trainer.config.training.batch_size
    sizes = {"total": trainer.steps * size, "initial": progress.step * size, "unit": "pair", "scaled": True}
    with bar(trainer.config.run, **sizes, shown=log is not None) as shown:
        while progress.step < trainer.steps:
            started = time.monotonic()
            try:
                with waiting():
                    images, tokens = next(batches)
            except StoppedWaiting:
                checkpoints.save(progress.step, trainer.state())
                raise _interrupted(trainer, request.signal) from None
            arrived = time.monotonic()
            measured = trainer.step(images, tokens)
            in_a_row = skipped.exchange(progress.skipped_in_a_row)
            progress.data_seconds += arrived - started
            progress.seconds += time.monotonic() - started
            shown.update(size)
            if in_a_row > trainer.config.training.max_skipped_steps:
                raise trainer.diverged(measured)
            scored = selection.due(progress.step, trainer.steps)
            if scored or progress.step % LOG_EVERY == 0 or progress.step == trainer.steps:
                entry = _log_entry(trainer, measured, clock)
                if scored and log is not None:
                    found, progress.best_score = selection.consider(trainer.model, trainer.device, progress.best_score)
                    entry |= found
                if log is not None:
                    log.append(entry)
                clock = Clock(progress)
                shown.set_postfix(loss=entry["loss"], refresh=False)
            stop = processes.most(request.signal or 0)
            if log is not None and (stop or (in_a_row == 0 and time.monotonic() - saved > CHECKPOINT_SECONDS)):
                checkpoints.save(progress.step, trainer.state())
                saved = time.monotonic()
            if stop:
                processes.wait()  # whoever starts the processes may end all of them once one has left
                raise _interrupted(trainer, stop)


def _interrupted(trainer: Trainer, number: int) -> Interrupted:
    name = signal.Signals(number).name
    return Interrupted(f"{trainer.config.run}: {name} at step {trainer.progress.step}; run again to go on")


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


def _log_entry(trainer: Trainer, measured: dict[str, torch.Tensor], clock: Clock) -> dict[str, float | None]:
    progress = trainer.progress
    steps = int(progress.loss_steps)
    mean_loss = float(progress.loss_sum) / steps if steps else None
    progress.loss_sum, progress.loss_steps = 0.0, 0
    norm = float(measured["gradient_norm"])
    speed = clock.read(trainer.config.training.batch_size)
    return {
        "step": progress.step,
        "loss": mean_loss,
        "learning_rate": trainer.optimizer.param_groups[0]["lr"],
        "logit_scale": float(trainer.model.similarity.logit_scale().detach()),
        "gradient_norm": norm if math.isfinite(norm) else None,
        "skipped_steps": int(progress.skipped),
        **{name: trainer.processes.mean(value) for name, value in speed.items()},
    }


def _finish(trainer: Trainer, run: Path, peak_memory: int, code: Code | None) -> ModelCard:
    """Write the final weights and the card, whose presence says that the run is finished."""
    config, progress = trainer.config, trainer.progress
    entries = metrics.read(run / "metrics.jsonl")
    last, chosen = entries[-1], kept(entries, config.training.selection)
    if last["loss"] is None:
        raise Diverged(f"{config.run}: no step of the last ones had a finite loss")
    samples = progress.step * config.training.batch_size
    card = ModelCard(
        run=config.run,
        variant=config.variant,
        objective=config.objective,
        seed=config.seed,
        config_hash=config.hash,
        checkpoint_sha256=save(trainer.model, run / "model.safetensors"),
        code_version=provenance.code_version(),
        training_code=code.write(run) if code else None,
        torch_version=torch.__version__,
        image_digest=provenance.image_digest(),
        device=provenance.device_name(trainer.device),
        machine=provenance.machine(),
        environment=environment.record(run, trainer.device),
        **provenance.times(),
        processes=trainer.processes.size,
        parameters=sum(parameter.numel() for parameter in trainer.model.parameters()),
        steps=progress.step,
        samples=samples,
        seconds=progress.seconds,
        samples_per_second=samples / progress.seconds,
        data_wait_fraction=progress.data_seconds / progress.seconds,
        peak_memory_bytes=peak_memory,
        final_loss=last["loss"],
        selection=config.training.selection,
        selected_step=chosen["step"],
        held_out_loss=chosen.get("held_out_loss"),
        logit_scale=last["logit_scale"],
    )
    files.write_json(run / "model.json", card.model_dump(mode="json"))
    return card


def _peak_memory(device: str) -> int:
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    return peak_bytes()
