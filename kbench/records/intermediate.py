"""Where the weights along a training lie that were kept: each in a folder of its own below the
run's, with what a finished run's folder has.
"""

from pathlib import Path

FOLDER = "intermediate"


def place(run: Path, step: int) -> Path:
    """Return the folder of the weights after so many steps."""
    return run / FOLDER / f"step-{step:09d}"


def finished(run: Path) -> list[Path]:
    """Return the folders whose weights are whole, by step; empty if none were kept."""
    return [card.parent for card in sorted((run / FOLDER).glob("step-*/model.json"))]
