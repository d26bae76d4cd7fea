"""YAML files that people write, read as plain values: nothing is executed, and what cannot be meant
is refused.

PyYAML lets the last of two equal keys win, resolves aliases without a bound, and takes .inf for a
number.
"""

import math
from pathlib import Path
from typing import Any

import yaml

from kbench.errors import UserError

MOST_BYTES = 1_000_000
MOST_VALUES = 100_000
"""Values of a file with every alias written out."""
DEEPEST = 100
"""Brackets open at a time: PyYAML's time grows with their square."""


class _Loader(yaml.SafeLoader):
    """PyYAML's, which stops at the first bracket that is too deep."""

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        if self.flow_level >= DEEPEST:
            raise RecursionError
        super().fetch_flow_collection_start(token)


def read(path: Path) -> Any:
    """Return what a YAML file holds; UserError, with the file and if possible the line, for what is
    not to be used.

    Raises OSError if the file cannot be read.
    """
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path} has over {MOST_BYTES:,} bytes; legal: files that people write")
    try:
        return _value(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply") from error
    except (ValueError, OverflowError) as error:
        raise UserError(f"{path}: {error}") from error


def _value(text: str) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node, {})
        return _finite(loader.construct_document(node))
    finally:
        loader.dispose()


def _check(node: yaml.Node, sizes: dict[int, int | None]) -> int:
    """Return the number of values below a node; ValueError for equal keys, loops and too many
    values.
    """
    known = sizes.get(id(node), 0)
    if known is None:
        raise ValueError(f"line {node.start_mark.line + 1} refers to itself")
    if known:
        return known
    sizes[id(node)] = None
    total = 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise ValueError(
                    f"line {key.start_mark.line + 1}: the key '{key.value}' stands twice"
                )
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
            total += _check(key, sizes) + _check(value, sizes)
    elif isinstance(node, yaml.SequenceNode):
        total += sum(_check(item, sizes) for item in node.value)
    if total > MOST_VALUES:
        raise ValueError(
            f"over {MOST_VALUES:,} values from line {node.start_mark.line + 1} on, aliases"
            " written out"
        )
    sizes[id(node)] = total
    return total


def _finite(value: Any) -> Any:
    """Return the value; ValueError if a number in it is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no number that can be used; legal: finite numbers")
    for inner in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        _finite(inner)
    return value
