"""Published tables from a document into rows, by a mapping that names every row and column it
expects.
"""

import csv
import io
import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from kbench import yaml_file
from kbench.errors import UserError
from kbench.files import sha256, write_text
from kbench.records.documents import PublishedRow
from kbench.records.section import Section
from kbench.results.grids import Grid, read
from kbench.results.published import parse_row, refuse_fractions

PREPARED = Path(__file__).parent / "mappings"
EMPTY = ("", "-", "–", "—")
_NUMBER = re.compile(
    r"^\W*(?P<value>\d+(?:\.\d+)?)\s*%?\s*(?:(?:±|\+/-|\()\s*(?P<std>\d+(?:\.\d+)?)\s*\)?)?\W*$"
)


class TableMapping(Section):
    """Which table, and what its rows and columns stand for in kbench's names."""

    caption: re.Pattern = Field(
        description="a regular expression that the caption of one table matches"
    )
    header_rows: int = Field(
        default=1, ge=1, description="rows that hold column labels; joined by ' / '"
    )
    label_columns: int = Field(
        default=1, ge=1, description="columns that hold row labels; joined by ' / '"
    )
    fields: dict[str, Any] = Field(
        default={}, description="fields of every row: corpus, backbone, task ..."
    )
    columns: dict[str, dict[str, Any]] = Field(
        min_length=1, description="column label -> dataset, metric ..."
    )
    rows: dict[str, dict[str, Any]] = Field(default={}, description="row label -> variant ...")
    rows_are_weights: bool = Field(
        default=False,
        description="in place of `rows`: each row is a model of open_clip's, labelled by"
        " architecture and tag",
    )
    cells_are_fractions: bool = Field(default=False, description="0.583 stands for 58.3 %")
    ignore_columns: list[str] = Field(
        default=[], description="labels of columns that are known and left out"
    )
    ignore_rows: list[str] = Field(
        default=[], description="labels of rows that are known and left out"
    )

    @model_validator(mode="after")
    def _has_rows(self) -> "TableMapping":
        if bool(self.rows) == self.rows_are_weights:
            raise ValueError("a table has either rows or rows_are_weights: true")
        if self.rows_are_weights and self.label_columns != 2:
            raise ValueError("rows_are_weights needs label_columns: 2, architecture and tag")
        return self

    def rows_of(self, labels: list[str]) -> dict[str, dict[str, Any]]:
        """Return what each row stands for, by its label; `labels` are those of the document."""
        if not self.rows_are_weights:
            return self.rows
        pairs = {label: label.split(" / ") for label in labels if label not in self.ignore_rows}
        return {
            label: _weights(*pair) for label, pair in pairs.items() if len(pair) == 2 and all(pair)
        }


def _weights(architecture: str, tag: str) -> dict[str, Any]:
    """Return the fields of a row that is a model of open_clip's; the tag is all that is stated of
    its training.
    """
    name = f"{architecture}/{tag}"
    return {"backbone": architecture, "corpus": tag, "variant": name, "weights": name}


class Mapping(Section):
    """What a document's tables hold."""

    source: str = Field(
        pattern=r"^[a-z0-9-]+$", description="short name; the rows are written to a file of it"
    )
    url: str = Field(pattern=r"^https?://", description="where the document is")
    tables: list[TableMapping] = Field(min_length=1)


def read_mapping(name: str) -> Mapping:
    """Read a mapping by path, or by name if it comes with kbench; UserError if it is not valid."""
    prepared = {path.stem: path for path in PREPARED.glob("*.yaml")}
    path = prepared.get(name, Path(name))
    try:
        return Mapping.model_validate(yaml_file.read(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except OSError as error:
        known = ", ".join(sorted(prepared))
        raise UserError(
            f"cannot read the mapping {name}: {error}. Prepared mappings: {known}"
        ) from error


def import_rows(document: Path, mapping: Mapping, origin: str | None = None) -> list[PublishedRow]:
    """Return the rows of a document's mapped tables; each row's note holds its origin and SHA-256.

    origin: the address that the document was fetched from; default: the name of the file. Raises
    UserError if a table, row or column is not where the mapping says, or a cell is no percentage.
    """
    grids = read(document)
    note = f"imported from {origin or document.name}, SHA-256 {sha256(document)}"
    rows = [
        row
        for table in mapping.tables
        for row in _rows(document, _find(document, grids, table), table, mapping, note)
    ]
    refuse_fractions(document, rows)
    return rows


def write_rows(path: Path, rows: list[PublishedRow]) -> None:
    """Write rows as a CSV that `kbench.results.published` reads."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(PublishedRow.model_fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.model_dump() for row in rows)
    write_text(path, stream.getvalue())


def _find(document: Path, grids: list[Grid], table: TableMapping) -> Grid:
    matching = [grid for grid in grids if table.caption.search(grid.caption)]
    if len(matching) != 1:
        captions = "; ".join(f"'{grid.caption[:60]}'" for grid in grids)
        raise UserError(
            f"{document}: {len(matching)} tables match '{table.caption.pattern}', expected one."
            f" Captions: {captions}"
        )
    return matching[0]


def _rows(
    document: Path, grid: Grid, table: TableMapping, mapping: Mapping, note: str
) -> list[PublishedRow]:
    if len(grid.rows) <= table.header_rows:
        raise UserError(
            f"{document}: '{grid.caption[:60]}' has {len(grid.rows)} rows, {table.header_rows} are"
            " its header"
        )
    header, body = grid.rows[: table.header_rows], grid.rows[table.header_rows :]
    columns = [
        _joined(row[index] for row in header)
        for index in range(table.label_columns, len(header[0]))
    ]
    labels = [_joined(row[: table.label_columns]) for row in body]
    _check_labels(document, grid, "column", columns, [*table.columns, *table.ignore_columns])
    rows = table.rows_of(labels)
    _check_labels(document, grid, "row", labels, [*rows, *table.ignore_rows])
    about = {
        "source": mapping.source,
        "url": mapping.url,
        "table": grid.caption,
        "note": note,
        "epochs": None,
    }
    cells = [
        (label, column, cell)
        for label, row in zip(labels, body, strict=True)
        for column, cell in zip(columns, row[table.label_columns :], strict=True)
    ]
    mapped = [cell for cell in cells if cell[0] in rows and cell[1] in table.columns]
    return [
        _row(
            document,
            f"{label}, {column}",
            cell,
            about | table.fields | rows[label] | table.columns[column],
            table.cells_are_fractions,
        )
        for label, column, cell in mapped
        if cell not in EMPTY
    ]


def _row(document: Path, place: str, cell: str, fields: dict, fraction: bool) -> PublishedRow:
    number = _NUMBER.match(cell)
    if not number:
        raise UserError(
            f"{document}: the cell at {place} is '{cell}', not a percentage such as 58.3 or 58.3"
            " ± 0.2"
        )
    row = fields | {name: _percent(number[name], fraction) for name in ("value", "std")}
    return parse_row(f"{document}, the cell at {place}", row)


def _percent(digits: str | None, fraction: bool) -> str | None:
    """Return a number as percent, with no digit that the document has not."""
    return str(Decimal(digits) * 100) if fraction and digits else digits


def _check_labels(
    document: Path, grid: Grid, what: str, seen: list[str], expected: list[str]
) -> None:
    """Raise UserError, naming both sides, unless the labels are the expected ones, each once."""
    absent = [label for label in expected if label not in seen]
    new = [label for label in seen if label not in expected]
    twice = sorted({label for label in seen if seen.count(label) > 1})
    if absent or new or twice:
        raise UserError(
            f"{document}: the {what}s of '{grid.caption[:60]}' are not those of the mapping. In the"
            f" mapping only: {_quoted(absent)}; in the document only: {_quoted(new)}; twice:"
            f" {_quoted(twice)}"
        )


def _quoted(labels: list[str]) -> str:
    return ", ".join(f"'{label}'" for label in labels) or "none"


def _joined(labels: Iterable[str]) -> str:
    """Return labels from outer to inner without empty and repeated ones, joined by ' / '."""
    return " / ".join(dict.fromkeys(label for label in labels if label))
