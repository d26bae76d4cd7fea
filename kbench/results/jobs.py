"""The jobs that produce an experiment's results, as a user would start them."""

from pathlib import Path


def pretrain(folder: Path, run: str) -> str:
    """Return the command that trains one run of the experiment whose results are in `folder`."""
    return _job(folder, f"runs/{run}/model.json")


def evaluate(folder: Path, run: str) -> str:
    """Return the command that scores one run on all its evaluation sets, training it first if need be."""
    return _job(folder, f"runs/{run}/evaluation.json")


def _job(folder: Path, target: str) -> str:
    name = folder.name.removesuffix("-smoke")
    smoke = " smoke=true" if folder.name.endswith("-smoke") else ""
    return f"snakemake {folder / target} --cores all --config experiment={name}{smoke}"
