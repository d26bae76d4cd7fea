"""Time and memory that Snakemake takes to plan an experiment, and to see that a finished one is
finished.

The experiments are as large as asked for and nothing in them is run; the baseline is a bare
Snakefile with as many jobs of the same shape, three in a row for each model.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from kbench.bench.measure import Row, say
from kbench.errors import UserError

BARE = """\
runs = range({runs})
rule all:
    input: expand("bare/evaluation-{{run}}", run=runs)
rule pretrain:
    output: "bare/model-{{run}}"
    shell: "touch {{output}}"
rule features:
    input: "bare/model-{{run}}"
    output: "bare/features-{{run}}"
    shell: "touch {{output}}"
rule evaluate:
    input: "bare/features-{{run}}"
    output: "bare/evaluation-{{run}}"
    shell: "touch {{output}}"
"""

OF_A_RUN = ("model.safetensors", "model.json", "encoded.json", "evaluated.json")
LAST = (
    "table.csv",
    "table.json",
    "bundle.tar.xz",
    "report/index.html",
    "report/report.md",
    "report/report.tex",
)
"""What jobs write, in order."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the size of the experiments."""
    parser.add_argument(
        "--corpora", type=int, default=1, help="experiment files, one a corpus; default %(default)s"
    )
    parser.add_argument(
        "--seeds", type=int, default=10, help="seeds of each variant; default %(default)s"
    )
    parser.add_argument(
        "--datasets", type=int, default=15, help="evaluation sets; default %(default)s"
    )
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="only these; default: all")


def rows(arguments: argparse.Namespace) -> list[Row]:
    """Measure, print the table, return the rows."""
    from kbench import objective, similarity

    variants = arguments.variants or [
        name
        for name in similarity.names()
        if objective.suited(similarity.get(name)) == objective.USUAL
    ]
    runs = arguments.corpora * len(variants) * arguments.seeds
    measured = []
    say(f"\n{'snakemake -n':<12}{'jobs':>8}{'s':>9}{'bare s':>9}{'MB':>9}{'bare MB':>9}")
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "Bare").write_text(BARE.format(runs=runs))
        (folder / "bare").mkdir()
        datasets, seeds = _datasets(arguments.datasets), range(arguments.seeds)
        names = [
            write_experiment(folder, n, variants, seeds, datasets) for n in range(arguments.corpora)
        ]
        worlds = [lay_out(folder, name) for name in names]
        for state, jobs in (("plan", 3 * runs + 3 * len(names)), ("finished", 0)):
            ours = [_dry_run(folder, jobs, "--config", f"experiment={name}.yaml") for name in names]
            bare = _dry_run(folder, 3 * runs if jobs else 0, "--snakefile", "Bare")
            seconds, peak = sum(o[0] for o in ours), max(o[1] for o in ours)
            measured.append(Row.of(f"dag/{state}/time", seconds, "seconds", bare[0]))
            measured.append(Row.of(f"dag/{state}/memory", peak, "bytes", bare[1]))
            megabytes = [taken / 1e6 for taken in (peak, bare[1])]
            say(
                f"{state:<12}{jobs:>8}{seconds:>9.1f}{bare[0]:>9.1f}"
                + "".join(f"{x:>9.0f}" for x in megabytes)
            )
            _finish(folder, worlds, runs)
    return measured


def lay_out(folder: Path, name: str) -> Path:
    """Make the folder a working directory with an experiment frozen; return the file that says its
    world is done.
    """
    from kbench.experiment.load import load, resolve, search
    from kbench.plan.freeze import freeze
    from kbench.plan.workflow import Workflow

    for part in ("Snakefile", "workflow", "profiles"):
        if not (folder / part).exists():
            (folder / part).symlink_to(_checkout() / part)
    with contextlib.chdir(folder):
        experiment = load(f"{name}.yaml")
        freeze(experiment, resolve(experiment), search(experiment), Path("results") / name)
        return folder / Workflow({"experiment": f"{name}.yaml"}).world_ready[0]


def write_experiment(
    folder: Path,
    number: int,
    variants: Iterable[str],
    seeds: Iterable[int],
    datasets: Iterable[str],
) -> str:
    """Write the file of a large experiment; return its name."""
    experiment = {
        "name": f"large-{number}",
        "description": "As many jobs as asked for.",
        "corpus": {"kind": "world", "seed": number, "pairs": 20000, "evaluation_images": 1000},
        "towers": "demo",
        "variants": list(variants),
        "seeds": list(seeds),
        "training": {"batch_size": 64, "epochs": 5, "warmup_epochs": 1},
        "evaluation": {"datasets": list(datasets)},
    }
    (folder / f"large-{number}.yaml").write_text(yaml.safe_dump(experiment))
    return f"large-{number}"


def _checkout() -> Path:
    checkout = Path(__file__).parents[2]
    if not (checkout / "Snakefile").exists():
        raise UserError(
            f"no Snakefile in {checkout}: this bench needs kbench installed from a checkout (pip"
            " install -e)"
        )
    return checkout


def _datasets(number: int) -> list[str]:
    """Return names of evaluation sets, those of the embedded world last."""
    from kbench.datasets import dataset as known_datasets

    names = sorted(
        known_datasets.names(), key=lambda name: known_datasets.get(name).location == "world"
    )
    if number > len(names):
        raise UserError(f"--datasets {number}: kbench knows {len(names)}")
    return names[:number]


def _dry_run(folder: Path, jobs: int, *options: str) -> tuple[float, int]:
    """Return seconds and peak bytes of one `snakemake -n`; it must plan something if and only if
    `jobs` is not 0.
    """
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-n",
        "--cores",
        "2",
        "--quiet",
        "rules",
        *options,
    ]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or ("Nothing to be done" in output) != (jobs == 0):
        raise UserError(f"snakemake -n says: {output[-2000:]}")
    return seconds, usage.ru_maxrss * 1024


def _finish(folder: Path, worlds: Iterable[Path], runs: int) -> None:
    """Write every file that the experiments' jobs would write, empty, in the order of jobs."""
    now = time.time() - 3600

    def write(path: Path, order: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (now + order, now + order))

    for results in folder.glob("results/*"):
        for path in [
            results / "experiment.json",
            results / "evaluation.json",
            *results.glob("runs/*/config.json"),
        ]:
            os.utime(path, (now, now))
        write(results / "corpus.json", 2)
        for run in results.glob("runs/*"):
            for order, name in enumerate(OF_A_RUN):
                write(run / name, 3 + order)
        for order, name in enumerate(LAST):
            write(results / name, 10 + order)
    for world in worlds:
        write(world, 1)
    for order, stem in enumerate(("model", "features", "evaluation")):
        for run in range(runs):
            write(folder / "bare" / f"{stem}-{run}", order)
