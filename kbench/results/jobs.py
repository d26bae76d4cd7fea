"""The commands that produce an experiment's results, as a user would type them."""

from pathlib import Path


def pretrain(folder: Path, run: str) -> str:
    """Return the command that trains one run of the experiment whose results are in `folder`."""
    return f"kbench pretrain {folder / 'runs' / run}"


def evaluate(folder: Path, run: str) -> str:
    """Return the command that scores one run on all its evaluation sets."""
    return f"kbench evaluate {folder / 'runs' / run}"
