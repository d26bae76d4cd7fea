"""Train one run from its frozen configuration into its folder, going on from its last checkpoint.

A finished run (model.json is there and matches) is left alone. SIGTERM, SIGINT and SIGUSR1 write a checkpoint;
the exit status is then 75, on which a scheduler may start the command again.
Started by torchrun or srun as several processes, each takes its part of every batch.
With --reuse, a finished run of another experiment that is the same in configuration, code, corpus, torch and image is
taken over, with its features, in the place of training.

Examples:
  kbench pretrain --run results/demo/runs/RUN --manifest results/demo/corpus.json --world results/demo/world
  kbench launch --processes 4 pretrain --run RUN --manifest corpus.json
"""

import argparse
import sys
from pathlib import Path

from kbench import locations
from kbench.commands.options import add_device, device


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the run's folder, the corpus and the device."""
    parser.add_argument("--run", type=Path, required=True, help="run folder, which holds config.json")
    parser.add_argument("--manifest", type=Path, required=True, help="corpus manifest from `kbench corpus verify`")
    parser.add_argument("--workers", type=int, default=1, help="data loader processes; 0 loads in this process")
    parser.add_argument(
        "--reuse",
        type=Path,
        action="append",
        default=[],
        metavar="RESULTS",
        help="folder with results of experiments, whose finished runs may be taken over; may be given several times",
    )
    add_device(parser)
    locations.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train; returns 75 if told to stop, 1 if the loss stays not finite or another process of the run is lost."""
    from kbench.corpus import manifest
    from kbench.errors import UserError
    from kbench.evaluate.run import TrainedRun
    from kbench.pretrain import distributed, reuse
    from kbench.pretrain.health import Diverged
    from kbench.pretrain.interrupt import STATUS, Interrupted
    from kbench.pretrain.loop import pretrain

    trained = TrainedRun(arguments.run)
    if trained.config.run != arguments.run.resolve().name:
        raise UserError(f"{arguments.run}/config.json is of run {trained.config.run}: it was edited or moved")
    if (arguments.run / "model.json").exists() and trained.weights:
        print(f"{trained.config.run}: finished already")
        return 0
    chosen = device(arguments)
    corpus = manifest.read(arguments.manifest)
    print("\n".join(corpus.summary()))
    try:
        with distributed.session(chosen) as processes:
            taken = processes.writes and reuse.take(trained.config, arguments.run, corpus, arguments.reuse)
            if processes.most(int(bool(taken))):
                print(f"{trained.config.run}: taken over from {taken}" if taken else "taken over", flush=True)
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
    except (Interrupted, Diverged, distributed.ProcessLost) as ended:
        print(f"kbench: {ended}", file=sys.stderr)
        return STATUS if isinstance(ended, Interrupted) else 1
    if card is not None:
        print(f"{card.run}: {card.steps} steps, loss {card.final_loss:.3f}, {card.samples_per_second:.0f} samples/s")
    return 0
