"""What the entry of every evaluation dataset must say, and what its folder must hold where it is
there.
"""

import os
from collections.abc import Callable
from pathlib import Path

from kbench import tasks
from kbench.datasets import dataset as known_datasets
from kbench.datasets.verify import verify
from kbench.errors import UserError
from kbench.locations import Locations


def describes_itself(name: str) -> str | None:
    """Its source is one line, and its name is one that a folder and a URL can have."""
    dataset = known_datasets.get(name)
    if not dataset.source or "\n" in dataset.source:
        return f"`source` has to be one line of text; it is {dataset.source!r}"
    legal = all(letter.isalnum() or letter in "_.-" for letter in name)
    return (
        None if legal else f"its name has to be letters, digits, '_', '.' and '-'; it is {name!r}"
    )


def is_scored_by_a_task_that_has_its_main_metric(name: str) -> str | None:
    """Some task is for its kind, and measures what it is reported by."""
    return _refusal(lambda: tasks.of(known_datasets.get(name), tasks.usable()))


def has_a_chance_level_below_one(name: str) -> str | None:
    """Guessing does not solve it."""
    chance = tasks.chance(known_datasets.get(name), tasks.usable())
    return (
        None
        if chance is None or 0 < chance < 1
        else f"guessing scores {chance:g} in its main metric"
    )


def has_a_stand_in_of_its_kind(name: str) -> str | None:
    """The set of the embedded world that replaces it in smoke runs is scored by the same tasks."""
    dataset = known_datasets.get(name)
    stand_in = dataset.substitute()
    if stand_in.location != "world":
        return f"its stand-in '{dataset.stand_in}' is not of the embedded world"
    wanted, given = (tasks.of(each, tasks.usable()) for each in (dataset, stand_in))
    return (
        None
        if wanted == given
        else f"it is scored by {', '.join(wanted)}, its stand-in by {', '.join(given)}"
    )


def is_as_described_where_it_is(name: str) -> str | None:
    """Counts, labels and splits of its folder are those of the entry; nothing is looked at where it
    is absent.
    """
    dataset, data = known_datasets.get(name), os.environ.get("KBENCH_DATA")
    where = Locations(data=Path(data) if data else None)
    if dataset.location == "world" or not dataset.is_present(where):
        return None
    return "; ".join(verify(dataset, dataset.root(where)).problems) or None


CHECKS = (
    describes_itself,
    is_scored_by_a_task_that_has_its_main_metric,
    has_a_chance_level_below_one,
    has_a_stand_in_of_its_kind,
    is_as_described_where_it_is,
)


def _refusal(attempt: Callable[[], object]) -> str | None:
    try:
        attempt()
    except UserError as error:
        return str(error)
    return None
