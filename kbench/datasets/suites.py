"""Suites: lists of evaluation datasets with a name, so that experiments need not repeat them."""

import functools
from collections.abc import Iterable
from pathlib import Path

from kbench import yaml_file
from kbench.errors import unknown

FILE = Path(__file__).parent / "suites.yaml"
PREFIX = "suite:"


@functools.cache
def known() -> dict[str, dict]:
    """Return {name: {about, datasets}} of every suite, of some also what they are shifted_from."""
    return yaml_file.read(FILE)


def expanded(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of datasets with each `suite:NAME` replaced by its datasets, in its place; one
    that two suites share stands where it was named first.

    Raises UserError, with the nearest name, for an unknown suite.
    """
    plain: list[str] = []
    for name in names:
        if not name.startswith(PREFIX):
            plain.append(name)
            continue
        suite = name.removeprefix(PREFIX)
        if suite not in known():
            raise unknown("suite", suite, known())
        members = known()[suite]["datasets"]
        plain += [member for member in members if member not in plain]
    return tuple(plain)
