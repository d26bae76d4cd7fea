"""The jobs that produce an experiment's results, as a user would start them."""

from collections.abc import Sequence
from pathlib import Path

STAGE_FILES = {"training": "model.json", "features": "encoded.json", "task": "evaluated.json"}
"""The file in a run's folder that says that a stage is done."""


def whole(folder: Path) -> str:
    """Return the command that makes everything of the experiment whose results are in `folder`."""
    return f"snakemake --cores all {_experiment(folder)}"


def pretrain(folder: Path, run: str) -> str:
    """Return the command that trains one run of the experiment whose results are in `folder`."""
    return _job(folder, f"runs/{run}/model.json")


def evaluate(folder: Path, run: str) -> str:
    """Return the command that scores one run on all its evaluation sets, training it first if need
    be.
    """
    return _job(folder, f"runs/{run}/evaluated.json")


def again(folder: Path, rule: str) -> str:
    """Return the command that runs a rule ('pretrain', 'evaluate') again for every run of the
    experiment.
    """
    return f"{whole(folder)} --forcerun {rule}"


def stage_again(folder: Path, stage: str, runs: Sequence[str]) -> str:
    """Return the command that makes a stage ('training', 'features', 'task') again for some runs.

    What these are already up to date in is kept; the checkpoints of a training are not, or it would
    go on from them.
    """
    targets = [str(folder / "runs" / run / STAGE_FILES[stage]) for run in runs]
    command = f"{whole(folder)} --forcerun {' '.join(targets)}"
    if stage != "training":
        return command
    checkpoints = (str(folder / "runs" / run / "checkpoints") for run in runs)
    return f"rm -r {' '.join(checkpoints)}; {command}"


def _job(folder: Path, target: str) -> str:
    return f"snakemake {folder / target} --cores all {_experiment(folder)}"


def _experiment(folder: Path) -> str:
    name = folder.name.removesuffix("-smoke")
    smoke = " smoke=true" if folder.name.endswith("-smoke") else ""
    return f"--config experiment={name}{smoke}"
