"""Experiment files that nobody in his right mind would write, drawn at random from one that is right."""

import copy
import random

import yaml

NUMBERS = (
    0,
    -1,
    1,
    2,
    3.5,
    -0.0,
    1e-300,
    1e9,
    1e300,
    10**19,
    2**70,
    -(2**70),
    float("inf"),
    float("nan"),
)
WORDS = (
    "",
    " ",
    "a" * 5000,
    "../x",
    "/etc/passwd",
    "x\ny",
    "$(touch x)",
    "'",
    "{run}",
    "nul\x00",
    "é",
    "true",
    "1e5",
)
OTHERS = (None, True, False, [], {}, [[]], [None], {"a": {"b": {}}}, [1] * 1000)


def _places(value, path=()):
    """Yield the path of every value of a nested document."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _places(inner, (*path, index))


def _replaced(document, path, change):
    """Return a copy in which the value at a path is what `change` makes of it; None takes it out."""
    if not path:
        return change(document)
    made = copy.deepcopy(document)
    inner = made
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = change(inner[path[-1]])
    return made


def _change(draw: random.Random):
    kind = draw.choice(("number", "word", "other", "repeat", "extra"))
    if kind == "repeat":
        return lambda value: [value] * draw.choice((2, 50))
    if kind == "extra":
        return lambda value: (
            {**value, draw.choice(WORDS): 1} if isinstance(value, dict) else [value]
        )
    choices = {"number": NUMBERS, "word": WORDS, "other": OTHERS}[kind]
    chosen = draw.choice(choices)
    return lambda value: chosen


def make(document: dict, seed: int) -> str:
    """Return the text of a file with one to three changes."""
    draw = random.Random(seed)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        document = _replaced(document, draw.choice(list(_places(document))), _change(draw))
        if not isinstance(document, dict):
            break
    return yaml.safe_dump(document, allow_unicode=draw.random() < 0.5)
