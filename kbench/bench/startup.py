"""Time from the start of a job to its first useful work; the baseline is a Python that imports
torch and does no more.

The jobs are those of a finished run: what makes features and what evaluates, stopped before they
compute, and its training from the beginning, stopped after one step.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from kbench.bench.measure import Row, alternate, say
from kbench.errors import UserError

STOP = (
    "import os, {module} as m; m.{name} = lambda *a, **k: os._exit(0); from kbench.cli import main;"
    " main({words!r})"
)
"""Python that runs a command up to its first call of a function."""

BARE = "import torch"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the run to look at."""
    parser.add_argument(
        "--run", type=Path, help="folder of a run with features; default: one below results/"
    )
    parser.add_argument("--repeats", type=int, default=5, help="default %(default)s")


def rows(arguments: argparse.Namespace) -> list[Row]:
    """Measure, print the table, return the rows."""
    run = arguments.run or _any_run()
    measured = []
    say(f"\n{'job':<12}{'s':>8}{'torch s':>9}")
    with tempfile.TemporaryDirectory() as untrained:
        for job, code in _jobs(run, Path(untrained)).items():
            seconds = alternate(
                lambda code=code: _python(code), lambda: _python(BARE), arguments.repeats
            )
            measured.append(Row.of(f"startup/{job}", seconds[0], "seconds", seconds[1]))
            say(f"{job:<12}{seconds[0]:>8.2f}{seconds[1]:>9.2f}")
    return measured


def _jobs(run: Path, folder: Path) -> dict[str, str]:
    """Return the Python of each job up to where it is stopped; the folder is for the training."""
    results = run.parents[1]
    untrained = folder / run.name
    untrained.mkdir()
    shutil.copy(run / "config.json", untrained)
    worlds = [str(path.with_suffix("")) for path in results.glob("world-*.done")]
    where = ["--world", worlds[0]] if worlds else []
    scored = ["--run", str(run), "--evaluation", str(results / "evaluation.json")]
    trained = [
        "--run",
        str(untrained),
        "--manifest",
        str(results / "corpus.json"),
        "--workers",
        "0",
    ]
    stops = {
        "evaluate": ("kbench.evaluate.scoring", "evaluate", scored),
        "features": ("kbench.evaluate.features", "Encoder.extract", [*scored, *where]),
        "pretrain": ("kbench.pretrain.trainer", "Trainer._count", [*trained, *where]),
    }
    return {
        job: STOP.format(module=module, name=name, words=[job, *words])
        for job, (module, name, words) in stops.items()
    }


def _python(code: str) -> None:
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True
    )
    if process.returncode:
        raise UserError(f"the job fails: {process.stderr[-1000:]}")


def _any_run() -> Path:
    runs = sorted(path.parent for path in Path("results").glob("*/runs/*/encoded.json"))
    if not runs:
        raise UserError(
            "no run with features below results/: `snakemake --cores all --config smoke=true` makes"
            " some"
        )
    return runs[0]
