"""Files of arrays beside results, of which nothing is executed."""

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kbench.errors import UserError

Arrays = dict[str, np.ndarray]


def read(path: Path, names: Iterable[str] | None = None) -> Arrays:
    """Return those of the named arrays that a file holds, or all; UserError if it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            wanted = stored.files if names is None else names
            return {name: stored[name] for name in wanted if name in stored}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"cannot read {path}: {error}") from error
