"""Train one run from its frozen configuration into its folder, going on from its last checkpoint.

A finished run (model.json is there and matches) is left alone. SIGTERM, SIGINT and SIGUSR1 write a
checkpoint; the exit status is then 75, on which a scheduler may start the command again. It is 75
too if another process trains the run and goes on for a minute. Started by torchrun or srun as
several processes, each takes its part of every batch. With --reuse, a finished run of another
experiment that is the same in configuration, code, corpus, torch and image is taken over, with its
features, in the place of training.

Examples:
  kbench pretrain --run results/demo/runs/RUN --manifest results/demo/corpus.json \\
    --world results/demo/world
  kbench launch --processes 4 pretrain --run RUN --manifest corpus.json
"""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from kbench import locations
from kbench.commands.options import add_device, device

if TYPE_CHECKING:
    from kbench.corpus.manifest import Manifest
    from kbench.evaluate.run import TrainedRun
    from kbench.records.documents import ModelCard


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the run's folder, the corpus and the device."""
    parser.add_argument(
        "--run", type=Path, required=True, help="run folder, which holds config.json"
    )
    parser.add_argument(
        "--manifest", type=Path, required=True, help="corpus manifest from `kbench corpus verify`"
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="data loader processes; 0 loads in this process"
    )
    parser.add_argument(
        "--reuse",
        type=Path,
        action="append",
        default=[],
        metavar="RESULTS",
        help=(
            "folder with results of experiments, whose finished runs may be taken over; may be"
            " given several times"
        ),
    )
    add_device(parser)
    locations.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train; returns 75 if told to stop, 1 if the loss stays not finite or another process of the
    run is lost.
    """
    from kbench import lock
    from kbench.corpus import manifest
    from kbench.errors import UserError
    from kbench.evaluate.run import TrainedRun
    from kbench.pretrain.health import Diverged
    from kbench.pretrain.interrupt import STATUS, Interrupted
    from kbench.pretrain.loop import pretrain
    from kbench.pretrain.session import ProcessLost, session

    trained = TrainedRun(arguments.run)
    if trained.config.run != arguments.run.resolve().name:
        raise UserError(
            f"{arguments.run}/config.json is of run {trained.config.run}: it was edited or moved"
        )
    if _finished(trained):
        return 0
    chosen = device(arguments)
    corpus = manifest.read(arguments.manifest)
    print("\n".join(corpus.summary()))
    try:
        # Several processes of one job train together; the one that writes holds the folder for
        # them.
        with (
            session(chosen) as processes,
            lock.held(arguments.run) if processes.writes else nullcontext(),
        ):
            # The process that was waited for may have finished the run.
            there = processes.writes and (
                _finished(trained) or _taken(trained, corpus, arguments.reuse)
            )
            if processes.most(int(there)):
                return 0
            card = pretrain(
                trained.config,
                arguments.run,
                corpus,
                locations.from_arguments(arguments),
                chosen,
                arguments.workers,
                processes,
            )
    except (Interrupted, Diverged, ProcessLost) as ended:
        print(f"kbench: {ended}", file=sys.stderr)
        return STATUS if isinstance(ended, Interrupted) else 1
    if card is not None:
        print(card.diverged or _summary(card))
    return 0


def _summary(card: "ModelCard") -> str:
    return (
        f"{card.run}: {card.steps} steps, loss {card.final_loss:.3f},"
        f" {card.samples_per_second:.0f} samples/s"
    )


def _finished(trained: "TrainedRun") -> bool:
    """Return, having said so, whether the run has been trained; UserError if its weights are not
    those of its card.
    """
    there = (trained.folder / "model.json").exists() and bool(trained.weights)
    if there:
        print(f"{trained.config.run}: finished already", flush=True)
    return there


def _taken(trained: "TrainedRun", corpus: "Manifest", results: list[Path]) -> bool:
    """Return, having said so, whether the run could be taken over from another experiment."""
    from kbench.evaluate import reuse

    experiment = reuse.take(trained.config, trained.folder, corpus, results)
    if experiment:
        print(f"{trained.config.run}: taken over from {experiment}", flush=True)
    return experiment is not None
