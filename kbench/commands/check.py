"""Validate an experiment file and print its plan: runs, jobs, cost, missing data, deviations from
the released recipe.

The cost is extrapolated from the jobs of experiments that have run, in --measured; each rate has
its source beside it. With --gpu, what nothing was measured of is estimated from the operations of
the model and the accelerator's peak, and named an estimate.

Examples:
  kbench check demo --gpus 2
  kbench check cc12m --gpus 16 --gpu h200
"""

import argparse
import contextlib
import shlex
from pathlib import Path

from kbench import locations, tasks
from kbench.commands.power import asked
from kbench.datasets import dataset as known_datasets
from kbench.document.numbers import number
from kbench.errors import UserError
from kbench.experiment import differences, load
from kbench.experiment.schema import Experiment, ImportedModel, RunConfig
from kbench.plan import accelerators, cost, measured
from kbench.results import comparable, power


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the experiment and the folders its data are looked for in."""
    parser.add_argument(
        "experiment", help="name of an experiment (`kbench experiments`) or path of its file"
    )
    parser.add_argument("--smoke", action="store_true", help="check the shrunken form")
    parser.add_argument(
        "--gpus", type=int, default=1, metavar="N", help="jobs at once: GPUs, or cores without any"
    )
    parser.add_argument(
        "--gpu",
        metavar="NAME",
        help=(
            "estimate what nothing was measured of, for this accelerator:"
            f" {', '.join(accelerators.names())}"
        ),
    )
    parser.add_argument(
        "--utilisation",
        type=float,
        default=accelerators.UTILISATION,
        metavar="SHARE",
        help="of its peak that --gpu is taken to reach; default %(default)g, an assumption",
    )
    parser.add_argument(
        "--pairs", type=int, help="size of the corpus, where it has not been verified yet"
    )
    parser.add_argument(
        "--measured",
        type=Path,
        nargs="+",
        metavar="RESULTS",
        help="results folders with rates; default: all of results/*",
    )
    locations.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the plan; UserError (exit status 2) for anything wrong with the file."""
    experiment = load.load(arguments.experiment, smoke=arguments.smoke)
    absent = load.not_imported(experiment)
    there = tuple(model for model in experiment.models if model not in absent)
    planned = experiment.model_copy(update={"models": there})
    runs = load.resolve(planned)
    results = tasks.number(
        map(known_datasets.get, experiment.evaluation.datasets), experiment.evaluation.tasks
    )
    print(f"{experiment.name}: {experiment.description}")
    print(f"  runs        {len(runs)} = {_runs(planned)}")
    for config in runs:
        print(f"              {config.run}")
    trials = load.search(experiment)
    if trials:
        each = f"{len(experiment.variants)} variants x {experiment.tuning.trials} trials"
        each += f" x {experiment.tuning.seeds} seeds" if experiment.tuning.seeds > 1 else ""
        print(f"  search      {len(trials)} runs = {each}")
    print(
        f"  results     {len(runs) * results} = {len(runs)} runs x {results} tasks on"
        f" {_count(experiment)} datasets"
    )
    if experiment.corpus:
        print(
            f"  corpus      {experiment.corpus.name}:"
            f" {_corpus(experiment, locations.from_arguments(arguments))}"
        )
    _print_cost(experiment, runs, [trial.config for trial in trials], arguments)
    for model in absent:
        print(f"  missing     model {model.name}: {_how_to_import(model)}")
    for name, reason in _missing(experiment, locations.from_arguments(arguments)):
        print(f"  missing     {name}: {reason}")
    for line in comparable.lines(experiment, runs):
        print(f"  published   {line}")
    print(f"  question    {_question(experiment)}")
    for sentence in differences.of(experiment):
        print(f"  deviates    {sentence}")


def _question(experiment: Experiment) -> str:
    """Return what is asked, and what the planned seeds would find of it if that has been seen."""
    if experiment.primary is None:
        return "none is named (`primary:`), so that every comparison will be exploratory"
    results, seeds = Path("results") / experiment.name, len(experiment.seeds)
    spread = None
    if (results / "experiment.json").is_file():
        # Results that may not be compared hinder no plan.
        with contextlib.suppress(UserError):
            spread = power.of_pilot(experiment.primary, results)
    spread = spread or power.assumed(experiment)
    if spread is None or seeds < 2:
        return f"{asked(experiment)}; `kbench power` says what it can find"
    size = number(spread.detectable(seeds, power.comparisons(experiment)), spread.unit)
    unit = "points" if spread.unit == "fraction" else spread.unit
    return f"{asked(experiment)}: {seeds} seeds find {size} {unit} ({spread.source})"


def _print_cost(
    experiment: Experiment,
    runs: list[RunConfig],
    trials: list[RunConfig],
    arguments: argparse.Namespace,
) -> None:
    folders = arguments.measured or sorted(
        path for path in Path("results").glob("*") if not path.match("*-smoke")
    )
    jobs = [job for folder in folders for job in measured.measured(folder)]
    pairs = arguments.pairs or cost.corpus_pairs(experiment, Path("results") / experiment.name)
    parts = cost.estimate(experiment, runs, trials, pairs, jobs)
    parts, memory = _estimated(parts, experiment, [*runs, *trials], arguments)
    print(f"  jobs        {sum(part.jobs for part in parts)}")
    for part in parts:
        taken = (
            f"{cost.readable(part.seconds):>8} each" if part.seconds is not None else "      ? each"
        )
        print(f"              {part.jobs:>4} x {part.name:<32}{taken}   {part.source}")
    hours, wall, size = (
        cost.lane_hours(parts),
        cost.wall_seconds(parts, arguments.gpus),
        cost.total_bytes(parts),
    )
    unknown = "not known: a rate above is missing"
    print(
        f"  GPU hours   {unknown if hours is None else f'{hours:.2g} (pretraining and features)'}"
    )
    print(f"  disk        {unknown if size is None else f'{size / 1e9:.2g} GB'}")
    if memory:
        print(f"  memory      {memory}")
    print(
        "  wall time  "
        f" {unknown if wall is None else f'{cost.readable(wall)} with {arguments.gpus} at once'}"
    )


def _estimated(
    parts: list[cost.CostEstimate],
    experiment: Experiment,
    configs: list[RunConfig],
    arguments: argparse.Namespace,
) -> tuple[list[cost.CostEstimate], str]:
    """Return the parts, those that nothing was measured of estimated where an accelerator is named,
    and what has to be said of its memory.
    """
    if arguments.gpu is None:
        return parts, ""
    if not 0 < arguments.utilisation <= 1:
        raise UserError(f"--utilisation {arguments.utilisation:g}; legal: above 0, at most 1")
    from kbench.plan import estimated

    speed = estimated.Speed(accelerators.get(arguments.gpu), arguments.utilisation)
    filled, memory = estimated.filled(parts, experiment, configs, speed)
    if memory is None:
        return filled, ""
    there = speed.accelerator.memory_gb
    said = (
        f"{memory.bytes / 1e9:.2g} of {there:g} GB, estimated: {memory.pairs} pairs at a time in"
        f" {memory.similarity}"
    )
    if memory.bytes > there * 1e9:
        enough = f"about {memory.fitting} would fit, see micro_batch_size"
        said += f": too much; {enough if memory.fitting else 'more processes share a batch'}"
    return filled, said


def _how_to_import(model: ImportedModel) -> str:
    """Return the command that imports a model, as far as the experiment says from where."""
    source, fetch = model.source or "SOURCE", ""
    if "://" in source:
        source, fetch = "FOLDER", f"download {source} into a folder, then "
    words = ["kbench", "model", "import", source, "--as", model.name]
    words += ["--similarity", model.similarity] if model.similarity else []
    words += ["--licence", model.licence] if model.licence else []
    for name in model.data:
        words += ["--data", name]
    return fetch + shlex.join(words)


def _runs(experiment: Experiment) -> str:
    trained = f"{len(experiment.variants)} variants x {len(experiment.seeds)} seeds"
    imported = f"{len(experiment.models)} imported models"
    parts = {trained: experiment.variants, imported: experiment.models}
    return " + ".join(part for part, runs in parts.items() if runs) or "none: see what is missing"


def _count(experiment: Experiment) -> int:
    return len(experiment.evaluation.datasets)


def _corpus(experiment: Experiment, where: locations.Locations) -> str:
    if experiment.corpus.kind == "world":
        return "generated by the workflow"
    try:
        return f"{len(experiment.corpus.shards(where))} shards"
    except UserError as error:
        return f"missing, {error}"


def _missing(experiment: Experiment, where: locations.Locations) -> list[tuple[str, str]]:
    missing = []
    for dataset in map(known_datasets.get, experiment.evaluation.datasets):
        if dataset.location == "data" and not experiment.evaluation.synthetic:
            try:
                dataset.root(where)
            except UserError as error:
                missing.append((dataset.name, str(error)))
    return missing
