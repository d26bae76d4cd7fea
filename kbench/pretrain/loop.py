"""The training of one run: what is put together, the loop, and how it ends."""

import contextlib
from pathlib import Path

from kbench.corpus import stream
from kbench.corpus.manifest import Manifest
from kbench.experiment.schema import RunConfig
from kbench.experiment.tuning import is_trial
from kbench.identity.stages import Stages
from kbench.locations import Locations
from kbench.pretrain import card, frozen
from kbench.pretrain.checkpoint import Checkpoints
from kbench.pretrain.health import Diverged
from kbench.pretrain.images import cropper
from kbench.pretrain.intermediate import Intermediate
from kbench.pretrain.interrupt import StoppedWaiting, StopRequest, stop_requests
from kbench.pretrain.journal import Journal
from kbench.pretrain.metrics import MetricsLog
from kbench.pretrain.processes import Processes
from kbench.pretrain.selection import Selection
from kbench.pretrain.trainer import Trainer
from kbench.pretrain.waiting import Batches
from kbench.progress import bar
from kbench.records.documents import ModelCard
from kbench.towers import tokenizer

LOG_EVERY = 50
"""Steps between two lines of metrics.jsonl."""

CHECKPOINT_SECONDS = 120
"""Wall time between two checkpoints."""


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

    Writes metrics.jsonl, tensorboard/, checkpoints/ and at the end model.safetensors and, last of
    all, model.json; of several processes the first one does, and the others return None. Raises
    Interrupted after SIGTERM, SIGINT or SIGUSR1, with a checkpoint written, and Diverged, unless
    the run is a search's trial, of which that is the result.
    """
    processes = processes or Processes()
    trainer = Trainer(config, manifest, device, processes)
    checkpoints = _checkpoints(config, run, manifest, processes, workers)
    checkpoints.resume(trainer)
    frozen.remember(trainer.model, config, run, manifest.pairs, processes.rank, checkpoints.digest)
    selection = Selection(config, run, manifest, locations)
    intermediate = Intermediate(config, run, manifest, checkpoints.code)
    pairs = _pairs(config, manifest, locations, trainer)
    log = MetricsLog(run / "metrics.jsonl", trainer.progress.step) if processes.writes else None
    diverged = None
    with stop_requests() as stop, contextlib.closing(stream.load(pairs, workers)) as loader:
        batches = Batches(loader, trainer, stop)
        with bar(config.run, **_size(trainer), shown=processes.writes) as shown:
            journal = Journal(trainer, log, LOG_EVERY, shown)
            try:
                _train(trainer, batches, journal, selection, intermediate, checkpoints, stop)
            except Diverged as ended:
                if not is_trial(run):
                    raise
                diverged = ended
    memory = processes.most(card.peak_memory(device))
    if log is None:
        return None
    log.close()
    if diverged:
        finished = card.give_up(trainer, run, memory, checkpoints.code, diverged)
    else:
        selection.restore(trainer.model)
        finished = card.finish(trainer, run, memory, checkpoints.code)
    frozen.forget(run)
    return finished


def _train(
    trainer: Trainer,
    batches: Batches,
    journal: Journal,
    selection: Selection,
    intermediate: Intermediate,
    checkpoints: Checkpoints,
    stop: StopRequest,
) -> None:
    """Take the remaining steps; a stop ends them between two, or while a process on its own waits
    for data.
    """
    try:
        while not trainer.finished:
            images, tokens = batches.next()
            measured = trainer.step(images, tokens)
            trainer.end_if_diverged(measured)
            scores = selection.score(trainer)
            journal.note(measured, scores)
            intermediate.keep_if_due(trainer)
            stopped = stop.of_any(trainer.processes)
            checkpoints.save_if_due(trainer, at_once=stopped)
            stop.leave(stopped, trainer)
    except StoppedWaiting:
        checkpoints.save_if_due(trainer, at_once=True)
        stop.leave(True, trainer)


def _checkpoints(
    config: RunConfig, run: Path, manifest: Manifest, processes: Processes, workers: int
) -> Checkpoints:
    identity = {
        **config.model_dump(mode="json", exclude={"variant"}),
        "corpus_sha256": manifest.sha256,
        "processes": processes.size,
        "loaders_of_a_process": max(workers, 1),
    }
    return Checkpoints(run, identity, Stages().training(config), CHECKPOINT_SECONDS)


def _pairs(
    config: RunConfig, manifest: Manifest, locations: Locations, trainer: Trainer
) -> stream.PairStream:
    """Return the batches that the remaining steps take."""
    return stream.PairStream(
        config.corpus,
        locations,
        manifest,
        tokenizer.create(config.towers),
        cropper(config, config.training.crop),
        stream.Share(
            trainer.processes.share(config.training.batch_size),
            config.seed_of("order"),
            rank=trainer.processes.rank,
            processes=trainer.processes.size,
            skip=trainer.progress.step,
            resampled=config.seed_of("corpus") if config.training.resample else None,
        ),
    )


def _size(trainer: Trainer) -> dict[str, int | str | bool]:
    pairs = trainer.config.training.batch_size
    return {
        "total": trainer.steps * pairs,
        "initial": trainer.progress.step * pairs,
        "unit": "pair",
        "scaled": True,
    }
