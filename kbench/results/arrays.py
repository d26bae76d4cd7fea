"""Files of arrays beside results, of which nothing is executed."""

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
    # A header is parsed as a Python literal: bytes of chance end in errors of the tokenizer, too.
    except Exception as error:
        raise UserError(f"cannot read {path}: {type(error).__name__}: {error}") from error
