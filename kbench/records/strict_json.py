"""JSON as kbench writes it: no key twice, no NaN or infinity, no depth that nobody needs."""

import json
from sys import intern
from typing import Any


def parse(text: str) -> Any:
    """Return the value of a JSON text; ValueError says what is wrong with one that is none.

    Values that are texts are interned: the documents of an experiment repeat most of them.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {twice!r} is there twice")
    for key, value in pairs:
        if type(value) is str:
            values[key] = intern(value)
    return values


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number that can be used")


_DECODER = json.JSONDecoder(object_pairs_hook=_distinct, parse_constant=_refuse)
