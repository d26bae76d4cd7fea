"""The training loop of one run."""

import resource
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kbench import files, provenance
from kbench.corpus import stream
from kbench.corpus.crop import Cropper
from kbench.corpus.manifest import Manifest
from kbench.errors import UserError
from kbench.experiment.schema import RunConfig
from kbench.locations import Locations
from kbench.pretrain import checkpoint, metrics, optimizer
from kbench.pretrain.batch import BatchLoss
from kbench.pretrain.distributed import Processes
from kbench.pretrain.interrupt import Interrupted, StopRequest, stop_requests
from kbench.pretrain.metrics import MetricsLog
from kbench.pretrain.model import ContrastiveModel, save
from kbench.pretrain.selection import Selection, kept
from kbench.progress import bar
from kbench.results.schema import ModelCard
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
    loss_steps: int = 0
    best_score: float | None = None


class Trainer:
    """Model, optimiser and the counters that a checkpoint holds.

    Every random number of step t is drawn from a generator seeded by (seed, t), so step and weights are the whole
    state: a resumed run repeats what an uninterrupted one does.
    """

    def __init__(self, config: RunConfig, manifest: Manifest, device: str, processes: Processes) -> None:
        torch.manual_seed(derive("initial weights", config.seed))
        self.config, self.device, self.processes = config, device, processes
        self.steps = max(1, round(config.training.epochs * manifest.pairs / config.training.batch_size))
        self.identity = {"configuration": config.hash, "corpus": manifest.sha256}
        self.model = ContrastiveModel(config).to(device).train()
        self.loss = processes.parallel(BatchLoss(self.model, processes, config.training.micro_batch_size))
        self.optimizer = optimizer.create(self.model, config.training)
        self.scaler = torch.amp.GradScaler(device, enabled=config.training.precision == "fp16")
        self.progress = Progress()

    def state(self) -> dict[str, Any]:
        """Return everything a checkpoint holds."""
        return {
            "identity": self.identity,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "progress": vars(self.progress) | {"loss_sum": float(self.progress.loss_sum)},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's state."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.progress = Progress(**state["progress"])

    def step(self, images: torch.Tensor, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        """Take one optimiser step on this process's part of a batch.

        Returns loss and gradient norm, of the whole batch, as scalars on the device.
        """
        rate = optimizer.learning_rate(self.config.training, self.progress.step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        precision = AUTOCAST[self.config.training.precision]
        # Of what the towers draw themselves, such as dropout, each process has its own.
        torch.manual_seed(derive("towers", self.config.seed, self.progress.step, self.processes.rank))
        seed = derive("random features", self.config.seed, self.progress.step)
        generator = torch.Generator().manual_seed(seed)
        with torch.autocast(self.device, precision, enabled=precision != torch.float32):
            loss = self.loss(images.to(self.device), tokens.to(self.device), generator)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.model.similarity.clamp_()
        self.progress.step += 1
        self.progress.loss_sum = self.progress.loss_sum + loss.detach().double()
        self.progress.loss_steps += 1
        return {"loss": loss.detach(), "gradient_norm": norm}


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

    Writes metrics.jsonl, checkpoints/ and at the end model.safetensors and, last of all, model.json; of several
    processes the first one does, and the others return None. Raises Interrupted after SIGTERM, SIGINT or SIGUSR1, with a checkpoint written.
    """
    training, processes = config.training, processes or Processes()
    trainer = Trainer(config, manifest, device, processes)
    state = checkpoint.latest(run, trainer.identity)
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
    log = MetricsLog(run / "metrics.jsonl", trainer.progress.step) if processes.writes else None
    with stop_requests() as request:
        _train(trainer, stream.load(batches, workers), run, log, selection, request)
    peak_memory = processes.most(_peak_memory(device))
    if not processes.writes:
        return None
    selection.restore(trainer.model)
    return _finish(trainer, run, peak_memory)


def _train(
    trainer: Trainer, loader: Any, run: Path, log: MetricsLog | None, selection: Selection, request: StopRequest
) -> None:
    """Take the remaining steps; the process that has a log writes it and checkpoints on the way."""
    progress, processes, batches = trainer.progress, trainer.processes, iter(loader)
    clock, saved = Clock(progress), time.monotonic()
    with bar(trainer.config.run, trainer.steps, progress.step, shown=log is not None) as shown:
        while progress.step < trainer.steps:
            started = time.monotonic()
            images, tokens = next(batches)
            arrived = time.monotonic()
            measured = trainer.step(images, tokens)
            progress.data_seconds += arrived - started
            progress.seconds += time.monotonic() - started
            shown.update()
            scored = selection.due(progress.step, trainer.steps)
            if scored or progress.step % LOG_EVERY == 0 or progress.step == trainer.steps:
                entry = _log_entry(trainer, measured, clock)
                if scored and log is not None:
                    found, progress.best_score = selection.consider(trainer.model, trainer.device, progress.best_score)
                    entry |= found
                if log is not None:
                    log.append(entry)
                clock = Clock(progress)
                shown.set_postfix(loss=f"{entry['loss']:.3f}", refresh=False)
            stop = processes.most(request.signal or 0)
            if log is not None and (stop or time.monotonic() - saved > CHECKPOINT_SECONDS):
                checkpoint.save(run, progress.step, trainer.state())
                saved = time.monotonic()
            if stop:
                processes.wait()  # whoever starts the processes may end all of them once one has left
                name = signal.Signals(stop).name
                raise Interrupted(f"{trainer.config.run}: {name} at step {progress.step}; run again to go on")


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


def _log_entry(trainer: Trainer, measured: dict[str, torch.Tensor], clock: Clock) -> dict[str, float]:
    progress = trainer.progress
    mean_loss = float(progress.loss_sum) / progress.loss_steps
    progress.loss_sum, progress.loss_steps = 0.0, 0
    return {
        "step": progress.step,
        "loss": mean_loss,
        "learning_rate": trainer.optimizer.param_groups[0]["lr"],
        "logit_scale": float(trainer.model.similarity.logit_scale().detach()),
        "gradient_norm": float(measured["gradient_norm"]),
        **{
            name: trainer.processes.mean(value)
            for name, value in clock.read(trainer.config.training.batch_size).items()
        },
    }


def _finish(trainer: Trainer, run: Path, peak_memory: int) -> ModelCard:
    """Write the final weights and the card, whose presence says that the run is finished."""
    config, progress = trainer.config, trainer.progress
    entries = metrics.read(run / "metrics.jsonl")
    last, chosen = entries[-1], kept(entries, config.training.selection)
    samples = progress.step * config.training.batch_size
    card = ModelCard(
        run=config.run,
        variant=config.variant,
        objective=config.objective,
        seed=config.seed,
        config_hash=config.hash,
        checkpoint_sha256=save(trainer.model, run / "model.safetensors"),
        code_version=provenance.code_version(),
        torch_version=torch.__version__,
        image_digest=provenance.image_digest(),
        device=provenance.device_name(trainer.device),
        machine=provenance.machine(),
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
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
