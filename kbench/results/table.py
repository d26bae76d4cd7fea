"""The tidy table: one row a (run, dataset, task, metric), measured or missing, with where it comes
from.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np

from kbench.files import replacing
from kbench.records.documents import SCHEMA_VERSION, Metric, TaskResult
from kbench.results.columns import (
    COLUMNS,
    METRIC_FIELDS,
    PROVENANCE_FIELDS,
    RESULT_FIELDS,
    RUN_FIELDS,
)
from kbench.results.store import Missing, Store

if TYPE_CHECKING:
    import pandas

ROWS_AT_ONCE = 8192
"""In memory as text."""


def frame(store: Store) -> pandas.DataFrame:
    """Return the table of an experiment.

    `status` is measured, undefined (the metric has no value) or missing (then `job` says what makes
    it); only measured rows have a value. `main` is true of at least one metric of every (dataset,
    task).
    """
    import pandas

    missing = [_missing_row(store, one) for one in store.missing]
    metrics = [_with_main(result.metrics) for result in store.results]
    # What a result's rows share is made once, and all column by column: as many rows, each a
    # dictionary, would take more time and memory than all else.
    shared = pandas.DataFrame(_with_missing(_of_results(store.results), missing))
    single = pandas.DataFrame(_with_missing(_of_metrics(metrics), missing))
    rows = [*map(len, metrics), *(1 for _ in missing)]
    shared = shared.take(np.repeat(np.arange(len(rows)), rows)).reset_index(drop=True)
    table = pandas.concat([shared, single], axis=1)[COLUMNS]
    whole = {
        "seed": "Int64",
        "n_test": "Int64",
        "n_draws": "Int64",
        "higher_is_better": "boolean",
        "main": "boolean",
    }
    return table.astype({**whole, "value": float, "draw_sd": float, "epochs": float})


def label(table: pandas.DataFrame) -> pandas.Series:
    """Return what to call each row's group: the variant, with the objective where there are
    several.
    """
    if table["objective"].nunique() < 2:
        return table["variant"]
    return table["variant"] + ", " + table["objective"].fillna("?")


def write(store: Store, table: pandas.DataFrame) -> list:
    """Write table.csv and table.json into the results folder and return their paths."""
    paths = [store.folder / "table.csv", store.folder / "table.json"]
    with replacing(paths[0]) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.writelines(_csv(table))
    with replacing(paths[1]) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.writelines(_json(store.experiment.name, table))
    return paths


def _csv(table: pandas.DataFrame) -> Iterator[str]:
    """Yield table.csv, a few thousand rows at a time, as pandas would write it in twice as long."""
    yield ",".join(map(_csv_field, table)) + "\n"
    for rows in _rows(table, _csv_field):
        yield "".join([",".join(row) + "\n" for row in rows])


def _csv_field(value: str | float | None) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([value, None])  # an empty field alone is quoted
    return text.getvalue().removesuffix(",\n")


def _json(experiment: str, table: pandas.DataFrame) -> Iterator[str]:
    """Yield table.json, a few thousand rows at a time, as `write_json` would write it: an encoder
    that indents takes a hundred thousand rows value by value, and all of them into memory.
    """
    head = {"schema_version": SCHEMA_VERSION, "experiment": experiment, "rows": []}
    before, _, after = json.dumps(head, indent=2).rpartition("]")
    row = "    {\n" + ",\n".join(f"      {json.dumps(name)}: %s" for name in table) + "\n    }"
    yield before
    for number, rows in enumerate(_rows(table, json.dumps)):
        yield (",\n" if number else "\n") + ",\n".join([row % values for values in rows])
    yield ("\n  ]" if len(table) else "]") + after + "\n"


def _rows(
    table: pandas.DataFrame, spell: Callable[[str | float | None], str]
) -> Iterator[Iterator[tuple[str, ...]]]:
    """Yield a few thousand rows at a time, their values spelled."""
    for start in range(0, len(table), ROWS_AT_ONCE):
        part = table.iloc[start : start + ROWS_AT_ONCE]
        yield zip(*(_spelled(part[name], spell) for name in part), strict=True)


def _spelled(column: pandas.Series, spell: Callable[[str | float | None], str]) -> list[str]:
    """Return every value as text; most columns repeat a few, and None stands for what is not
    there.
    """
    if column.dtype.kind == "f":
        none = spell(None)
        return [none if math.isnan(value) else repr(value) for value in column.tolist()]
    codes, values = column.factorize()
    texts = [spell(value) for value in (*values.tolist(), None)]
    return [texts[code] for code in codes.tolist()]  # -1, none there, is the last


def _of_results(results: Sequence[TaskResult]) -> dict[str, list]:
    """Return the values of the columns that a result's metrics share, one a result."""
    sources = [result.provenance for result in results]
    return {
        **{name: list(map(attrgetter(name), results)) for name in RESULT_FIELDS},
        **{name: list(map(attrgetter(name), sources)) for name in PROVENANCE_FIELDS},
        "job": [math.nan] * len(results),
    }


def _of_metrics(metrics: Sequence[Sequence[Metric]]) -> dict[str, list]:
    """Return the values of the other columns, one a metric."""
    every = [metric for of_result in metrics for metric in of_result]
    columns = {name: list(map(attrgetter(name), every)) for name in METRIC_FIELDS}
    return {
        "metric": columns.pop("name"),
        **columns,
        "n_draws": [len(metric.draws) for metric in every],
        "status": ["undefined" if metric.value is None else "measured" for metric in every],
    }


def _with_missing(columns: dict[str, list], missing: Sequence[dict]) -> dict[str, list]:
    """Return columns with what is known of the missing results below."""
    return {
        name: values + [row.get(name, math.nan) for row in missing]
        for name, values in columns.items()
    }


def _with_main(metrics: list[Metric]) -> list[Metric]:
    """Return the metrics with the first one marked as main if none is."""
    if not metrics or any(metric.main for metric in metrics):
        return metrics
    return [metrics[0].model_copy(update={"main": True}), *metrics[1:]]


def _missing_row(store: Store, missing: Missing) -> dict:
    """Return a row that names what is missing; the run's setting is known if it has other
    results.
    """
    twin = next((result for result in store.results if result.run == missing.run), None)
    return {
        "experiment": store.experiment.name,
        **(
            {name: getattr(twin, name) for name in RUN_FIELDS}
            if twin
            else _from_card(store, missing.run)
        ),
        "run": missing.run,
        "dataset": missing.dataset,
        "task": missing.task,
        "status": "missing",
        "job": missing.job,
    }


def _from_card(store: Store, run: str) -> dict:
    """Return variant, objective and seed of a run without results, from its model card if it was
    trained.
    """
    card = store.cards.get(run)
    if card:
        return {"variant": card.variant, "objective": card.objective, "seed": card.seed}
    name = re.fullmatch(r"(?P<variant>.+)-s(?P<seed>\d+)-[0-9a-f]+", run)
    return {"variant": name["variant"], "seed": int(name["seed"])} if name else {}
