"""An experiment read back from its tidy table, where neither runs nor a bundle are there: every
value with its provenance, but no scores of single samples, curves, costs or settings.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas
from pydantic import ValidationError

from kbench.errors import UserError
from kbench.records.documents import ExperimentRecord, Metric, TaskResult
from kbench.results.columns import METRIC_FIELDS, PROVENANCE_FIELDS, RESULT_FIELDS

NAMES = ("table.csv", "table.csv.gz")
NOTE = (
    "Read from a table alone: without scores of single test images, intervals and tests cover"
    " training seeds and nothing else."
)


def find(folder: Path) -> Path | None:
    """Return the table in a folder, None where there is none."""
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def read(path: Path) -> tuple[ExperimentRecord, tuple[TaskResult, ...]]:
    """Return what a table says of its experiment, and its results; UserError if it is none of
    kbench's, has results missing, or is of several experiments.
    """
    try:
        table = pandas.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
        rows = table.astype(object).where(table.notna(), None)
        results = tuple(_results(rows.to_dict("records")))
    except (OSError, ValueError, KeyError, EOFError) as error:
        reason = error.errors()[0] if isinstance(error, ValidationError) else error
        raise UserError(f"{path} is no table of kbench: {reason}") from error
    names = sorted({result.experiment for result in results})
    if len(names) != 1:
        raise UserError(f"{path} is of {len(names)} experiments ({', '.join(names)}), not of one")
    return _experiment(names[0], results), results


def _results(rows: list[dict[str, Any]]) -> Iterator[TaskResult]:
    of_result: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        if row["status"] == "missing":
            raise ValueError(f"{row['task']} of {row['run']} on {row['dataset']} is missing in it")
        of_result.setdefault((row["run"], row["dataset"], row["task"]), []).append(row)
    for alike in of_result.values():
        first = alike[0]
        if any(_of_result(row) != _of_result(first) for row in alike):
            raise ValueError(
                f"rows of {first['task']} of {first['run']} on {first['dataset']} disagree"
            )
        yield TaskResult.model_validate(
            {name: first[name] for name in RESULT_FIELDS}
            | {
                "metrics": [_metric(row) for row in alike],
                "settings": {},
                "provenance": {name: first.get(name) for name in PROVENANCE_FIELDS},
            }
        )


def _of_result(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what all rows of one result have in common."""
    return {name: row.get(name) for name in (*RESULT_FIELDS, *PROVENANCE_FIELDS)}


def _metric(row: Mapping[str, Any]) -> Metric:
    given = {name: row["metric" if name == "name" else name] for name in METRIC_FIELDS}
    return Metric.model_validate(given)


def _experiment(name: str, results: tuple[TaskResult, ...]) -> ExperimentRecord:
    """Return what results tell of the experiment that they are of."""
    columns = {
        "runs": "run",
        "variants": "variant",
        "seeds": "seed",
        "datasets": "dataset",
    }
    of_results = {
        key: list(dict.fromkeys(getattr(result, field) for result in results))
        for key, field in columns.items()
    }
    tasks = list(dict.fromkeys(result.task for result in results))
    return ExperimentRecord(
        name=name,
        description="",
        deviations=[],
        experiment={"name": name, "evaluation": {"tasks": tasks}},
        **of_results,
    )
