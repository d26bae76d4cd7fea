"""The rules of a benchmark, versioned: what must be equal, what may differ, how many seeds, which
datasets; and whether results keep them.

A file a version, NAME-vN.yaml; one that is in force is never edited.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from kbench import yaml_file
from kbench.datasets import suites
from kbench.errors import UserError, unknown
from kbench.records.section import Section, explain
from kbench.results.store import Store

FOLDER = Path(__file__).parent

NEARLY = 0.01
"""Share of the pairs of a corpus that may be gone from the web."""


class Division(StrEnum):
    """Where results belong: to the closed division, in which only the similarity differs; to the
    open one; or to none.
    """

    CLOSED = "closed"
    OPEN = "open"
    NONE = "not conforming"


class Rules(Section):
    """One version of a benchmark's rules."""

    title: str = Field(description="what is compared, and the version")
    pairs: int = Field(gt=0, description="pairs of the corpus; at most 1 % may be missing")
    datasets: tuple[str, ...] = Field(
        min_length=1, description="evaluation datasets that all must be there; suite:NAME is a list"
    )
    tasks: tuple[str, ...] = Field(min_length=1, description="evaluation tasks that must be there")
    seeds: int = Field(gt=0, description="training seeds of every variant, at least")
    reference: str = Field(description="similarity that has to be among the variants")
    required: dict[str, Any] = Field(
        description="keys of the experiment, dotted, and their values in either division"
    )
    closed: dict[str, Any] = Field(description="the same of the closed division")


@dataclass(frozen=True)
class Item:
    """One rule and what the results make of it."""

    rule: str
    division: Division
    seen: str


def names() -> list[str]:
    """Return the names of kbench's own rules."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read(name: str) -> Rules:
    """Return rules by name or from a file; UserError, with the nearest match, if there are none or
    they are not valid.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        if path.parent != FOLDER:
            raise UserError(f"no such file of rules: {path}")
        raise unknown("recipe", name, names())
    try:
        return Rules.model_validate(yaml_file.read(path))
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error, Rules)}") from error


def division(items: list[Item]) -> Division:
    """Return where results belong: where the strictest rule puts them."""
    order = list(Division)
    return max((item.division for item in items), key=order.index)


def items(store: Store, rules: Rules) -> list[Item]:
    """Return every rule with what the results make of it."""
    return [
        _complete(store),
        *_named("dataset", suites.expanded(rules.datasets), store.experiment.datasets),
        *_named("task", rules.tasks, {result.task for result in store.results}),
        _seeds(store, rules.seeds),
        _reference(store, rules.reference),
        _pairs(store, rules.pairs),
        _unmixed(store),
        *_settings(store, rules.required, Division.NONE),
        *_settings(store, rules.closed, Division.OPEN),
    ]


def _item(rule: str, kept: bool, seen: str, otherwise: Division = Division.NONE) -> Item:
    return Item(rule, Division.CLOSED if kept else otherwise, seen)


def _complete(store: Store) -> Item:
    missing = len(store.missing)
    seen = f"{missing} of {store.expected} are missing" if missing else f"all {store.expected}"
    return _item("every result is there", not missing, seen)


def _named(kind: str, wanted: tuple[str, ...], there: Any) -> Iterator[Item]:
    gone = [name for name in wanted if name not in there]
    seen = f"missing: {', '.join(gone)}" if gone else f"all {len(wanted)}"
    yield _item(f"every {kind} of the rules is there", not gone, seen)


def _seeds(store: Store, number: int) -> Item:
    seeds: dict[str, set[int]] = {label: set() for label in store.experiment.variants}
    for result in store.results:
        seeds[result.variant].add(result.seed)
    few = [f"{label} {len(of)}" for label, of in seeds.items() if len(of) < number]
    seen = ", ".join(few) if few else f"{min(map(len, seeds.values()))} or more of each variant"
    return _item(f"at least {number} seeds", not few, seen)


def _reference(store: Store, reference: str) -> Item:
    there = {store.config(run).get("similarity") for run in store.experiment.runs}
    return _item(
        f"{reference} is among the variants",
        reference in there,
        ", ".join(sorted(name for name in there if name)),
    )


def _pairs(store: Store, pairs: int) -> Item:
    corpus = store.corpus()
    if corpus is None:
        return _item(f"a corpus of {pairs:,} pairs", False, "not verified")
    near = abs(corpus.pairs - pairs) <= NEARLY * pairs
    return _item(f"a corpus of {pairs:,} pairs", near, f"{corpus.pairs:,}")


def _unmixed(store: Store) -> Item:
    notes = store.mixture_notes
    return _item("one code and one image", not notes, "; ".join(notes) or "nothing is mixed")


def _settings(store: Store, wanted: dict[str, Any], otherwise: Division) -> Iterator[Item]:
    for place, value in wanted.items():
        seen = _at(store.experiment.experiment, place)
        yield _item(f"{place} is {value}", seen == value, str(seen), otherwise)


def _at(experiment: dict[str, Any], place: str) -> Any:
    """Return what an experiment has at a dotted place; None where it has nothing."""
    value: Any = experiment
    for key in place.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value
