"""Scores along a training: those of the weights that were kept on the way, and of the last."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from kbench.errors import UserError
from kbench.files import write_text
from kbench.records import intermediate
from kbench.records.documents import ModelCard, TaskResult
from kbench.results import table
from kbench.results.store import Store, read_record

if TYPE_CHECKING:
    import pandas

FILE = "along.csv"
COLUMNS = ("run", "variant", "objective", "seed", "dataset", "task", "metric", "value", "unit")


def frames(store: Store) -> dict[int, pandas.DataFrame]:
    """Return {pairs seen: tidy table of the results at that point}, ascending; empty if no weights
    but the last were kept.

    Raises UserError where a result is of other weights than those beside it.
    """
    points: dict[int, list[TaskResult]] = defaultdict(list)
    for card, result in _kept(store):
        points[card.samples].append(result)
    if not points:
        return {}
    for result in store.results:
        card = store.cards.get(result.run)
        if card and card.imported is None:
            points[_samples(card)].append(result)
    return {
        samples: table.frame(replace(store, results=tuple(points[samples]), missing=()))
        for samples in sorted(points)
    }


def write(store: Store, path: Path) -> int:
    """Write every score at every point as CSV; return the number of rows, 0 without a file where
    there are none.
    """
    import pandas

    tables = [frame[[*COLUMNS]].assign(samples=at) for at, frame in frames(store).items()]
    if not tables:
        return 0
    joined = pandas.concat(tables, ignore_index=True)
    write_text(path, joined.to_csv(index=False))
    return len(joined)


def _samples(card: ModelCard) -> int:
    """Return the pairs that the chosen weights have seen."""
    return card.samples * (card.selected_step or card.steps) // card.steps


def _kept(store: Store) -> Iterator[tuple[ModelCard, TaskResult]]:
    read_card = cache(lambda folder: read_record(folder / "model.json", ModelCard))
    for run in (run for run in store.experiment.runs if run in store.cards):
        for folder in intermediate.finished(store.place / "runs" / run):
            for path in sorted(folder.glob("evaluation/*/*.json")):
                card, result = read_card(folder), read_record(path, TaskResult)
                if result.provenance.checkpoint_sha256 != card.checkpoint_sha256:
                    raise UserError(
                        f"{path} is of other weights than those in {folder}: make it again with"
                        " `kbench evaluate`"
                    )
                yield card, result
