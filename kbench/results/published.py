"""Numbers that others published, as data: where each comes from and what it was measured with."""

import csv
import itertools
from functools import cache
from pathlib import Path

from pydantic import Field, ValidationError

from kbench import yaml_file
from kbench.datasets import dataset as known_datasets
from kbench.errors import UserError, unknown
from kbench.records.documents import PublishedRow
from kbench.records.section import Section

FOLDER = Path(__file__).parent
IMPORTED = Path("published")
"""Where `kbench published import` writes, relative to the working directory."""
NOT_IMPORTED = "published value not imported"


class Pending(Section):
    """Cells of a document that are known to exist but whose values nobody has imported yet.

    A table that is known by its name and methods alone says no more than these, and then has no
    cells.
    """

    table: str
    variants: list[str] = Field(min_length=1, description="the methods it has, in kbench's names")
    backbone: str | None = None
    epochs: dict[str, float] = Field(default={}, description="corpus -> passes over it")
    tasks: list[str] = Field(default=[])
    datasets: dict[str, str] = Field(
        default={}, description="dataset -> the metric it is reported by"
    )

    def rows(self, source: str, url: str) -> list[PublishedRow]:
        """Return one row without a value for every cell."""
        cells = itertools.product(
            self.epochs.items(), self.variants, self.tasks, self.datasets.items()
        )
        return [
            PublishedRow(
                source=source,
                url=url,
                table=self.table,
                corpus=corpus,
                backbone=self.backbone,
                epochs=epochs,
                variant=variant,
                dataset=dataset,
                task=task,
                metric=metric,
                value=None,
            )
            for (corpus, epochs), variant, task, (dataset, metric) in cells
        ]


class PublishedSource(Section):
    """A document that published numbers come from."""

    title: str
    url: str
    evaluation: str = Field(
        default="", description="how its evaluation differs; empty if comparable"
    )
    selection: str | None = Field(
        default=None, description="rule by which its checkpoints were chosen, if stated"
    )
    pending: Pending | None = None


@cache
def sources() -> dict[str, PublishedSource]:
    """Return what is known about each source, by its short name."""
    known = yaml_file.read(FOLDER / "published_sources.yaml")
    return {name: PublishedSource.model_validate(entry) for name, entry in known.items()}


def read_rows(path: Path) -> list[PublishedRow]:
    """Read a CSV of published numbers; UserError, with the line, for a row that is not valid."""
    try:
        with Path(path).open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            _check_columns(path, reader.fieldnames)
            rows = [parse_row(f"{path}, line {reader.line_num}", cells) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    refuse_fractions(path, rows)
    return rows


def parse_row(place: str, cells: dict) -> PublishedRow:
    """Return a row from text, where an empty cell says nothing; UserError, naming the place, if it
    is not valid.
    """
    if None in cells:
        raise UserError(f"{place}: more cells than columns")
    given = {name: cell for name, cell in cells.items() if cell not in ("", None)}
    try:
        return PublishedRow.model_validate({"epochs": None, "value": None} | given)
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{'.'.join(map(str, first['loc']))}: " if first["loc"] else ""
        message = where + first["msg"].removeprefix("Value error, ")
        raise UserError(f"{place}: {message}") from error


def refuse_fractions(place: Path, rows: list[PublishedRow]) -> None:
    """Raise UserError where percentages look like fractions: 0.171 for 17.1 %.

    They do if no value of a table is above 1, or if an accuracy is at most 1 % where chance alone
    gives more.
    """
    tables: dict[tuple, list[PublishedRow]] = {}
    for row in rows:
        if row.unit == "percent" and row.value is not None:
            tables.setdefault((row.source, row.table), []).append(row)
    for (source, table), members in tables.items():
        low = [row for row in members if row.value <= 1 and (_chance(row) > 1)]
        if all(row.value <= 1 for row in members) or low:
            seen = (low or members)[0]
            raise UserError(
                f"{place}: {seen.value:g} for {seen.variant} on {seen.dataset} ({source}, {table})"
                " looks like a fraction; values are percent, for example 17.1"
            )


def _chance(row: PublishedRow) -> float:
    """Return the accuracy of guessing, percent; 0 where it is not known."""
    known = row.dataset in known_datasets.names() and row.metric in (
        "acc1",
        "acc5",
        "mean_per_class_recall",
    )
    classes = known_datasets.get(row.dataset).n_classes if known else None
    return 100 / classes if classes else 0.0


def rows() -> list[PublishedRow]:
    """Return all published rows: the package's, imported ones, and pending cells without a value.

    A cell that any file gives a value is no longer pending. Raises UserError if two rows give the
    same cell.
    """
    given = _given(_files())
    known = {_cell(row) for row in given}
    announced = [(name, source) for name, source in sources().items() if source.pending]
    pending = [row for name, source in announced for row in source.pending.rows(name, source.url)]
    return given + [row for row in pending if _cell(row) not in known]


def check(new: list[PublishedRow], replacing: Path) -> None:
    """Raise UserError if rows that are to be written to a file contradict each other or those of
    other files.
    """
    _refuse_duplicates(_given([path for path in _files() if path != replacing]) + new)


def _files() -> list[Path]:
    return [FOLDER / "published.csv", *sorted(IMPORTED.glob("*.csv"))]


def _given(paths: list[Path]) -> list[PublishedRow]:
    given = [row for path in paths for row in read_rows(path)]
    _refuse_duplicates(given)
    return given


def of_source(name: str) -> list[PublishedRow]:
    """Return the rows of one source; UserError, with the nearest name, for an unknown one."""
    chosen = [row for row in rows() if row.source == name]
    if not chosen and name not in announced():
        raise unknown("source", name, {row.source for row in rows()} | set(announced()))
    return chosen


def announced() -> dict[str, Pending]:
    """Return the tables of which no cell is known here, by source: that they exist is all there is
    to say.
    """
    with_rows = {row.source for row in rows()}
    return {
        name: source.pending
        for name, source in sources().items()
        if source.pending and name not in with_rows
    }


def value_text(row: PublishedRow) -> str:
    """Return a row's value for people: '17.1', '17.1 ± 0.2', '1.8 nats' or that it is not
    imported.
    """
    if row.value is None:
        return NOT_IMPORTED
    value = f"{row.value:.1f}" if round(row.value, 1) == row.value else f"{row.value:.3g}"
    if row.unit == "percent":
        value = f"{row.value:.1f}" if round(row.value, 1) == row.value else f"{row.value:.2f}"
    deviation = "" if row.std is None else f" ± {row.std:g}"
    return value + deviation + (" nats" if row.unit == "nats" else "")


def _cell(row: PublishedRow) -> tuple:
    where = (row.source, row.corpus, row.backbone, row.variant, row.objective)
    return (*where, row.dataset, row.task, row.metric)


def _refuse_duplicates(given: list[PublishedRow]) -> None:
    seen: dict[tuple, PublishedRow] = {}
    for row in given:
        how = (row.table, row.epochs, row.split, row.n_test, row.image_size, row.prompts)
        other = seen.setdefault((*_cell(row), *how), row)
        if other is not row:
            raise UserError(
                f"two published values for {row.variant} on {row.dataset}, {row.task} {row.metric},"
                f" in {row.source} ({row.table}): {other.value} and {row.value}"
            )


def _check_columns(path: Path, seen: list[str] | None) -> None:
    expected = list(PublishedRow.model_fields)
    needed = {name for name, field in PublishedRow.model_fields.items() if field.is_required()}
    if seen is None or len(set(seen)) < len(seen) or not needed <= set(seen) <= set(expected):
        raise UserError(
            f"{path}: its columns are {', '.join(seen or [])}; expected {', '.join(expected)}"
        )
