"""A real training on a device, interrupted in its middle and resumed, then its zero-shot accuracy.

With --data it is of CIFAR-10, with captions from its class names as in experiment cifar10; without,
of the embedded world. Rows: pretraining/VARIANT/samples-per-second, /loss, /resumed (the share of
the steps that the second process took), /zeroshot on the corpus's own evaluation set.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from kbench.bench.measure import Row, say
from kbench.errors import UserError

CIFAR10 = {
    "corpus": {
        "kind": "labelled",
        "name": "cifar10",
        "folder": "cifar10",
        "split": "train",
        "templates": ["{c}", "a photo of {c}", "a picture of {c}", "a blurry photo of {c}"],
        "words": [
            ["an airplane"],
            ["a car", "an automobile"],
            ["a bird"],
            ["a cat"],
            ["a deer"],
            ["a dog"],
            ["a frog"],
            ["a horse"],
            ["a ship", "a boat"],
            ["a truck"],
        ],
    },
    "towers": "cifar",
    "evaluation": {"datasets": ["cifar10"], "tasks": ["zeroshot"]},
}
WORLD = {
    "corpus": {"kind": "world", "seed": 0, "pairs": 20000, "evaluation_images": 1000},
    "towers": "demo",
    "evaluation": {"datasets": ["world-shape-colour"], "tasks": ["zeroshot"]},
}
TIRED = 75
"""Exit status of a training that was told to stop."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the bench's arguments."""
    parser.add_argument(
        "--data", type=Path, help="folder with cifar10; default: the embedded world"
    )
    parser.add_argument("--variant", default="cosine", help="default %(default)s")
    parser.add_argument("--device", default="cpu", help="default %(default)s")
    parser.add_argument("--precision", default="fp32", help="default %(default)s")
    parser.add_argument("--epochs", type=float, default=1, help="default %(default)s")
    parser.add_argument("--pairs", type=int, help="of the embedded world; default 20,000")
    parser.add_argument("--step-batch", type=int, default=128, help="default %(default)s")
    parser.add_argument("--loader-workers", type=int, default=1, help="default %(default)s")


def rows(arguments: argparse.Namespace) -> list[Row]:
    """Train, interrupt, resume, score; return the rows."""
    with tempfile.TemporaryDirectory(prefix="kbench-pretraining-") as folder:
        return _rows(Path(folder), arguments)


def _rows(folder: Path, arguments: argparse.Namespace) -> list[Row]:
    results = folder / "results"
    experiment = _experiment(arguments)
    (folder / "bench.yaml").write_text(yaml.safe_dump(experiment), encoding="utf-8")
    _kbench("resolve", folder / "bench.yaml", "--output", results)
    place = _data(folder, experiment, arguments)
    (run,) = (results / "runs").iterdir()
    manifest = results / "corpus.json"
    _kbench("corpus", "verify", "--config", run / "config.json", "--output", manifest, *place)
    steps = _train(run, manifest, place, arguments)
    device = ("--device", arguments.device)
    _kbench("features", "--run", run, "--evaluation", results / "evaluation.json", *place, *device)
    _kbench("evaluate", "--run", run, "--evaluation", results / "evaluation.json")
    card = json.loads((run / "model.json").read_text(encoding="utf-8"))
    (path,) = run.glob("evaluation/*/zeroshot.json")
    metrics = json.loads(path.read_text(encoding="utf-8"))["metrics"]
    accuracy = next(metric["value"] for metric in metrics if metric["name"] == "acc1")
    name = f"pretraining/{arguments.variant}"
    measured = [
        Row.of(f"{name}/samples-per-second", card["samples"] / card["seconds"], "1/s", None),
        Row.of(f"{name}/loss", card["final_loss"], "nats", None),
        Row.of(f"{name}/resumed", 1 - steps[0] / steps[1], "fraction", None),
        Row.of(f"{name}/zeroshot", accuracy, "fraction", None),
    ]
    for row in measured:
        say(f"{row.name:<44}{row.value:>10.4g} {row.unit}")
    return measured


def _experiment(arguments: argparse.Namespace) -> dict:
    asked = CIFAR10 if arguments.data else WORLD
    if arguments.pairs and not arguments.data:
        asked = asked | {"corpus": asked["corpus"] | {"pairs": arguments.pairs}}
    return {
        "name": "bench",
        "description": "A training for a bench.",
        **asked,
        "variants": [arguments.variant],
        "seeds": [0],
        "training": {
            "batch_size": arguments.step_batch,
            "epochs": arguments.epochs,
            "warmup_epochs": arguments.epochs / 20,
            "learning_rate": 2e-3,
            "weight_decay": 0.1,
            "precision": arguments.precision,
        },
    }


def _data(folder: Path, experiment: dict, arguments: argparse.Namespace) -> tuple:
    """Return the options that say where the data are; the world is made first."""
    if arguments.data:
        return ("--data", arguments.data)
    world, corpus = folder / "world", experiment["corpus"]
    sizes = ("--pairs", corpus["pairs"], "--eval-images", corpus["evaluation_images"])
    _kbench("world", "make", "--output", world, *sizes)
    return ("--world", world)


def _train(
    run: Path, manifest: Path, place: tuple, arguments: argparse.Namespace
) -> tuple[int, int]:
    """Train, stopped once in the middle; return the steps of the first process and of both."""
    options = ("--device", arguments.device, "--workers", arguments.loader_workers)
    command = _command("pretrain", "--run", run, "--manifest", manifest, *place, *options)
    # What it says goes into a file: a pipe that nobody reads would stop it.
    with (run / "bench.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        while process.poll() is None and _steps(run) == 0:
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        status = process.wait()
    before = _steps(run)
    if status not in (0, TIRED):
        raise UserError(f"a training ended with {status}: {(run / 'bench.log').read_text()[-500:]}")
    _kbench("pretrain", "--run", run, "--manifest", manifest, *place, *options)
    return before, _steps(run)


def _steps(run: Path) -> int:
    """Return the last step that a training has logged, 0 before the first."""
    log = run / "metrics.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    return json.loads(lines[-1])["step"] if lines else 0


def _command(*words: object) -> list[str]:
    return [sys.executable, "-m", "kbench", *map(str, words)]


def _kbench(*words: object) -> None:
    """Run a kbench command; UserError with the end of what it said if it fails."""
    done = subprocess.run(_command(*words), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"kbench {words[0]} failed: {done.stderr[-500:].strip()}")
