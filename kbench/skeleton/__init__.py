"""What a folder for experiments of one's own begins with.

The workflow here is that of the checkout, by links that a wheel holds as files.
"""

import os
import shutil
import tempfile
from pathlib import Path

from kbench import files
from kbench.errors import UserError

HERE = Path(__file__).parent

PLACES = {
    "Snakefile": "Snakefile",
    "rules": "workflow/rules",
    "profiles": "workflow/profiles",
    "first.yaml": "workflow/experiments/first.yaml",
    "wpse_laplace.py": "workflow/variants/wpse_laplace.py",
    "README.md": "README.md",
    "gitignore": ".gitignore",
}
"""Name here -> path in the new folder."""


def make(folder: Path) -> None:
    """Make the folder, whole or not at all; UserError if something is there already or it cannot be
    written.
    """
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder} is there already: choose a folder that is new, or empty")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            _fill(made)
            made.chmod(0o777 & ~files.umask())
            made.replace(folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise files.unwritable(folder, error) from error


def _fill(folder: Path) -> None:
    for name, place in PLACES.items():
        source, target = HERE / name, folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__*"))
        else:
            shutil.copyfile(source, target)
    # Where Snakemake looks for the profile that it reads by itself.
    (folder / "profiles").symlink_to("workflow/profiles")
