"""Files of arrays beside results, of which nothing is executed."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from kbench.errors import UserError
from kbench.files import read_bytes
from kbench.results import npz

Arrays = dict[str, np.ndarray]


SMALL = 1 << 20
"""Bytes of a file, below which it is read as a whole."""


def read(path: Path | str, names: Collection[str] | None = None) -> Arrays:
    """Return those of the named arrays that a file holds, or all; none if there is no file.
    UserError if it is damaged.
    """
    try:
        content = read_bytes(path, SMALL)
        if len(content) < SMALL:
            return npz.read(content, names)
    except FileNotFoundError:
        return {}
    except (OSError, npz.Unusual):
        pass
    return _by_numpy(path, names)


def _by_numpy(path: Path | str, names: Collection[str] | None) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as stored:
            wanted = stored.files if names is None else names
            return {name: stored[name] for name in wanted if name in stored}
    # A header is parsed as a Python literal: bytes of chance end in errors of the tokenizer, too.
    except Exception as error:
        raise UserError(f"cannot read {path}: {type(error).__name__}: {error}") from error
