"""Variants that were trained at several embedding dimensions: which belong to one line of a
plot.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from kbench import tasks


@dataclass(frozen=True)
class Line:
    """One similarity at several embedding dimensions."""

    name: str
    groups: dict[int, str]  # embedding dimension -> group of runs


def lines(configurations: Mapping[str, dict]) -> list[Line]:
    """Return the groups of runs by similarity and embedding dimension; empty if there is only one
    dimension.

    configurations: group -> frozen configuration of one of its runs. Groups that share similarity
    and dimension and differ in something else are told apart by their labels, without an ending
    '-dDIMENSION'.
    """
    places = {
        group: _place(configuration)
        for group, configuration in configurations.items()
        if configuration
    }
    if len({dimension for _, dimension in places.values()}) < 2:
        return []
    distinct = len(set(places.values())) == len(places)
    members: dict[str, dict[int, str]] = {}
    for group, (similarity, dimension) in places.items():
        name = similarity if distinct else group.replace(f"-d{dimension}", "")
        members.setdefault(name, {})[dimension] = group
    return [Line(name, dict(sorted(groups.items()))) for name, groups in members.items()]


def dimensions(drawn: list[Line]) -> list[int]:
    """Return the embedding dimensions of all lines, ascending."""
    return sorted({dimension for line in drawn for dimension in line.groups})


def floors(drawn: list[Line], task: str, corpus: Mapping[str, Any]) -> dict[str, dict[int, float]]:
    """Return what no model of an experiment with this corpus can better in a task's first metric,
    by name and dimension of the lines; without those of which no dimension is known.
    """
    declared = tasks.find(task)
    ticks = dimensions(drawn)
    named = {
        name: {d: values[d] for d in ticks if d in values}
        for name, values in (declared.floors(corpus) if declared else {}).items()
    }
    return {name: values for name, values in named.items() if values}


def comparable(drawn: list[Line], groups: list[str]) -> list[tuple[str, str]]:
    """Return the pairs of groups of the same embedding dimension, by dimension, then in the order
    of `groups`.
    """
    of = {group: dimension for line in drawn for dimension, group in line.groups.items()}
    return [
        pair
        for dimension in dimensions(drawn)
        for pair in combinations([group for group in groups if of.get(group) == dimension], 2)
    ]


def _place(configuration: dict) -> tuple[str, int]:
    return configuration["similarity"], configuration["towers"]["embed_dim"]
