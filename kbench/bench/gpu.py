"""Everything that is worth measuring on a GPU, in order of value, each part within its minutes.

What a part has measured is written when it ends (--json), so that a run that is cut off keeps what
it has. A part that takes longer than its minutes is ended, and the next one begins; what was not
measured is said. --part runs one; --small runs a shrunken form of all, as on a CPU.

Parts: correctness (every similarity, objective and precision against the CPU), step (whole training
steps against open_clip's), similarity (the losses alone), features, retrieval, probe (scikit-learn
on the device beside it), loader, pretraining (a real training, interrupted and resumed; of CIFAR-10
with --data).

Examples:
  kbench bench gpu --json results/bench/gpu.json --data data
  kbench bench gpu --part step --json results/bench/gpu.json
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kbench.bench.measure import Row, say

Words = tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """A bench with what it is given: on a GPU, and shrunken.

    each: whether it is run for each similarity by itself, so that one after the other is kept.
    """

    bench: str
    minutes: float
    full: Words
    small: Words
    each: bool = False
    on_device: bool = True


TINY = ("--towers", "demo", "--step-batch", "4", "--step-repeats", "1")
PARTS = {
    "correctness": Part("correctness", 5, (), ("--precision", "fp32")),
    "step": Part(
        "step",
        8,
        (
            *("--precision", "bf16", "--step-batch", "512", "--loader-workers", "12"),
            *("--images", "6144", "--step-repeats", "5"),
        ),
        (*TINY, "--images", "16", "--data-steps", "1"),
        each=True,
    ),
    "similarity": Part(
        "similarity",
        5,
        ("--no-step", "--batch", "512", "--pairwise-batch", "64"),
        (
            *("--no-step", "--batch", "4", "--pairwise-batch", "2", "--repeats", "1"),
            *("--image-tokens", "3", "--text-tokens", "2", "--dim", "8", "--features", "16"),
        ),
        each=True,
    ),
    "features": Part(
        "features",
        5,
        ("--images", "4096", "--batches", "64", "256", "1024"),
        ("--towers", "demo", "--images", "8", "--batches", "4", "8", "--repeats", "1"),
    ),
    "retrieval": Part(
        "retrieval", 3, ("--images", "1000", "5000"), ("--images", "20", "--width", "8")
    ),
    "probe": Part(
        "probe",
        5,
        ("--samples", "50000", "--width", "768", "--classes", "10", "100", "--array-api"),
        ("--samples", "200", "--width", "8", "--classes", "3", "--array-api"),
    ),
    "loader": Part(
        "loader",
        3,
        ("--images", "2048"),
        ("--images", "8", "--loader-batch", "4", "--loader-repeats", "1", "--sides", "32"),
        on_device=False,
    ),
    "pretraining": Part(
        "pretraining",
        8,
        (
            *("--epochs", "30", "--precision", "bf16", "--step-batch", "512"),
            *("--loader-workers", "12"),
        ),
        ("--epochs", "1", "--pairs", "2048", "--step-batch", "16"),
    ),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the bench's arguments."""
    parser.add_argument("--part", choices=list(PARTS), help="only this; default: all")
    parser.add_argument("--device", default="cuda", help="default %(default)s")
    parser.add_argument("--small", action="store_true", help="a shrunken form of each part")
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="only these; default: all")
    parser.add_argument("--data", type=Path, help="folder with cifar10, for the training")
    parser.add_argument(
        "--minutes", type=float, help="that each part may take; default: each its own"
    )


def batches(arguments: argparse.Namespace) -> Iterator[list[Row]]:
    """Measure part by part, and yield the rows of each command when it has ended."""
    for name in [arguments.part] if arguments.part else PARTS:
        part = PARTS[name]
        minutes = part.minutes if arguments.minutes is None else arguments.minutes
        ends = time.monotonic() + 60 * minutes
        for words in commands(part, arguments):
            left = ends - time.monotonic()
            if left <= 0:
                say(f"not measured, out of time: kbench bench {' '.join(words)}")
                continue
            say(f"-- kbench bench {' '.join(words)}")
            yield _run(words, left)


def commands(part: Part, arguments: argparse.Namespace) -> Iterator[Words]:
    """Yield what a part runs."""
    from kbench import similarity

    options = part.small if arguments.small else part.full
    options += ("--device", arguments.device) if part.on_device else ()
    if part.bench == "pretraining" and arguments.data:
        options += ("--data", str(arguments.data))
    variants: Sequence[str] = arguments.variants or similarity.names()
    if part.each:
        yield from ((part.bench, "--variants", name, *options) for name in variants)
    elif part.bench == "correctness":
        yield (part.bench, "--variants", *variants, *options)
    else:
        yield (part.bench, *options)


def _run(words: Words, seconds: float) -> list[Row]:
    """Run one bench in a process of its own, which a device's failure ends alone; return its
    rows.
    """
    with tempfile.TemporaryDirectory(prefix="kbench-gpu-") as folder:
        path = Path(folder, "rows.json")
        command = [sys.executable, "-m", "kbench", "bench", *words, "--json", str(path)]
        try:
            status = subprocess.run(command, timeout=seconds, check=False).returncode
        except subprocess.TimeoutExpired:
            say(f"ended after {seconds:.0f} s: kbench bench {' '.join(words)}")
            return []
        if status != 0:
            say(f"failed with status {status}: kbench bench {' '.join(words)}")
            return []
        written = json.loads(path.read_text(encoding="utf-8"))
        return [Row.model_validate(row) for row in written["rows"]]
