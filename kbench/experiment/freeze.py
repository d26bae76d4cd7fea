"""Write the frozen configurations of an experiment, touching only files whose content changes.

Snakemake compares modification times, so a file that is rewritten with the same content would start days of training
again; a changed experiment file must only start what it changed.
"""

import json
from pathlib import Path
from typing import Any

from kbench import files
from kbench.experiment import differences
from kbench.experiment.schema import Experiment, RunConfig
from kbench.experiment.tuning import Trial


def freeze(experiment: Experiment, runs: list[RunConfig], trials: list[Trial], results: Path) -> None:
    """Write experiment.json, evaluation.json and runs/RUN/config.json below the results folder.

    Where there is a search, its runs are frozen as search/RUN/config.json, and the reported ones only when their
    settings are chosen.
    """
    section = experiment.evaluation.model_dump(mode="json")
    _write(results / "evaluation.json", {"experiment": experiment.name, "evaluation": section})
    for trial in trials:
        _write(results / "search" / trial.config.run / "config.json", trial.config.model_dump(mode="json"))
    if not trials:
        freeze_runs(runs, results)
    _write(results / "experiment.json", describe(experiment, runs))


def freeze_runs(runs: list[RunConfig], results: Path) -> None:
    """Write runs/RUN/config.json for each of the runs."""
    for run in runs:
        _write(results / "runs" / run.run / "config.json", run.model_dump(mode="json"))


def describe(experiment: Experiment, runs: list[RunConfig]) -> dict[str, Any]:
    """Return the resolved experiment, as the comparison and the report read it."""
    return {
        "name": experiment.name,
        "description": experiment.description,
        "deviations": differences.of(experiment),
        "runs": [run.run for run in runs],
        "variants": [variant.name for variant in experiment.variants],
        "seeds": list(experiment.seeds),
        "datasets": list(experiment.evaluation.datasets),
        "experiment": experiment.model_dump(mode="json"),
    }


def _write(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        files.write_text(path, text)
