"""Looks at an experiment's results: seeds that are added after one make p-values too small.

Who adds seeds until a test separates two variants finds a difference between equal ones far more
often than the level says (Armitage, McPherson and Rowe, J. R. Statist. Soc. A 132, 1969). Nothing
here corrects for it: the report says that it happened.
"""

import datetime
from collections.abc import Iterable

from kbench.files import write_json
from kbench.records.documents import Look, Looks
from kbench.results.store import Store, read_record

FILE = "looks.json"


def read(store: Store) -> tuple[Look, ...]:
    """Return the looks that are recorded; UserError if the record is damaged."""
    path = store.place / FILE
    return read_record(path, Looks).looks if path.is_file() else ()


def note(store: Store) -> None:
    """Record that the results are looked at, unless nothing is there, or they were looked at last
    with the same seeds.
    """
    before, seeds = read(store), tuple(store.experiment.seeds)
    if not store.results or (before and before[-1].seeds == seeds):
        return
    when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    now = Look(when=when, seeds=seeds, results=len(store.results), expected=store.expected)
    write_json(store.place / FILE, Looks(looks=(*before, now)).model_dump(mode="json"))


def pooled(stores: Iterable[Store]) -> Looks | None:
    """Return the looks at several machines' results in their order; None if there was none."""
    every = {look for store in stores for look in read(store)}
    ordered = sorted(every, key=lambda look: (look.when, look.seeds))
    return Looks(looks=tuple(ordered)) if ordered else None


def warning(store: Store) -> str | None:
    """Return what has to be said of seeds that were added after the first look; None of none."""
    looks, seeds = read(store), set(store.experiment.seeds)
    if not looks or seeds <= set(looks[0].seeds):
        return None
    first, added = looks[0], sorted(seeds - set(looks[0].seeds))
    return (
        f"Seeds {', '.join(map(str, added))} were added after the results of seeds"
        f" {', '.join(map(str, first.seeds))} had been looked at ({first.when[:10]}): p-values and"
        " intervals do not count that look."
    )
