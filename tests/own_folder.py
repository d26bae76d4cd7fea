"""Runs the example in which components are added to a finished experiment, and checks what it
printed.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from tiny import ROOT


def run(folder: Path, *options: str) -> str:
    """Run the example and return what it printed."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    command = [str(ROOT / "examples" / "own_folder.sh"), str(folder), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def jobs(printed: str, title: str) -> dict[str, int]:
    """Return the numbers of jobs of each rule that were planned under a title."""
    part = printed.split(f"== {title}\n")[1].split("==")[0]
    return {rule: int(number) for rule, number in re.findall(r"^(\w+) +(\d+)$", part, re.MULTILINE)}


def check(printed: str) -> None:
    """Two variants, then two more and a dataset: two trainings each time, and every row in one
    table.
    """
    assert jobs(printed, "jobs of a new experiment")["pretrain"] == 2
    added = jobs(printed, "jobs that are added")
    assert added["pretrain"] == 2 and added["total"] == sum(added.values()) - added["total"]
    assert "corpus" not in added and "world" not in added
    assert "8 files of finished results are as they were" in printed
    table = printed.split("== one table")[1]
    assert "own-digits" in table and "world-shape" in table
    rows = re.findall(r"^\| ([\w, -]+) \|", table, re.MULTILINE)
    assert rows[-4:] == [
        "cosine, infonce",
        "wpse-gaussian, infonce",
        "wpse-laplace, infonce",
        "cosine-decoupled, decoupled",
    ]
