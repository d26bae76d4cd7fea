"""Tables out of documents, as grids of text: LaTeXML's HTML (arXiv's HTML pages) and CSV."""

import csv
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from kbench.errors import UserError


@dataclass(frozen=True)
class Grid:
    """A table: its caption, and its cells in full rows (a spanning cell is repeated in each place it covers)."""

    caption: str
    rows: list[list[str]]


def read(path: Path) -> list[Grid]:
    """Return the tables of an HTML or CSV file; UserError if it is neither or holds no table."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if Path(path).suffix.lower() == ".csv":
        rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines())]
        grids = [Grid(Path(path).name, [row for row in rows if any(row)])]
    else:
        grids = _Reader(text).grids
    if not any(grid.rows for grid in grids):
        raise UserError(f"{path} holds no table (expected a CSV file, or HTML with tables of class ltx_tabular)")
    return grids


class _Reader(HTMLParser):
    """Collects LaTeXML tables: <figure class=ltx_table> with a caption around <table class=ltx_tabular>.

    LaTeXML also writes rows and cells as <span class="ltx_tr"> and <span class="ltx_td">. Formulas are read
    from the alttext of <math>. Notes, citations and raised marks are no part of a cell or caption. A table inside a
    table's cell belongs to the cell.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.grids: list[Grid] = []
        self._open: list[tuple[str, str]] = []  # (tag, role) of the elements around the current position
        self._caption = ""
        self._spanned: list[list[tuple[str, int, int]]] = []  # rows of (text, columns, rows) as written
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        role = self._role(tag, values.get("class", "").split())
        if role == "math" and not {"math", "aside"} & set(self._roles()):
            self._text(_plain(values.get("alttext", "")))
        elif tag == "br":
            self._text(" ")
        elif role == "figure":
            self._caption = ""
        elif role == "table":
            self._spanned = []
        elif role == "row":
            self._spanned.append([])
        elif role == "cell":
            if not self._spanned:
                self._spanned.append([])
            self._spanned[-1].append(("", _span(values, "col"), _span(values, "row")))
        if tag not in _VOID:
            self._open.append((tag, role))

    def handle_endtag(self, tag: str) -> None:
        if tag not in (open_tag for open_tag, _ in self._open):
            return
        while self._open:
            closed, role = self._open.pop()
            if role == "table":
                self.grids.append(Grid("", _expanded(self._spanned)))
            elif role == "figure":
                self._name_tables()
            if closed == tag:
                break

    def handle_data(self, data: str) -> None:
        if not {"math", "aside"} & set(self._roles()):
            self._text(data)

    def _role(self, tag: str, classes: list[str]) -> str:
        """Return what an element is to us: figure, caption, table, row, cell, math or nothing."""
        roles = self._roles()
        if tag == "math":
            return "math"
        if tag == "sup" or _ASIDE & set(classes):
            return "aside"
        if "ltx_table" in classes and "table" not in roles:
            return "figure"
        if "ltx_caption" in classes:
            return "caption"
        if "ltx_tabular" in classes and "cell" not in roles:
            return "table"
        if "table" in roles and "cell" not in roles:
            return "row" if "ltx_tr" in classes else "cell" if {"ltx_td", "ltx_th"} & set(classes) else ""
        return ""

    def _roles(self) -> list[str]:
        return [role for _, role in self._open]

    def _text(self, data: str) -> None:
        roles = self._roles()
        if "cell" in roles:
            text, columns, rows = self._spanned[-1][-1]
            self._spanned[-1][-1] = (text + data, columns, rows)
        elif "caption" in roles:
            self._caption += data

    def _name_tables(self) -> None:
        caption = " ".join(self._caption.split())
        self.grids = [Grid(grid.caption or caption, grid.rows) for grid in self.grids]


_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


_ASIDE = {"ltx_note", "ltx_cite", "ltx_sup"}
_WIDEST = 1000
"""Largest span of a cell, as in the HTML standard for columns."""
_CELLS = 100_000
"""Most cells of a table: a page of few bytes may ask for any number by spans."""


def _span(values: dict[str, str], side: str) -> int:
    """Return a span from colspan=2, or from the class ltx_colspan_2 of a <span>; `side` is col or row."""
    named = re.search(rf"\bltx_{side}span_(\d+)\b", values.get("class", ""), re.ASCII)
    text = named[1] if named else values.get(f"{side}span", "")
    return min(max(int(text[:6]), 1), _WIDEST) if text.isascii() and text.isdecimal() else 1


def _plain(formula: str) -> str:
    """Return a formula's numbers and signs as text: '58.3\\pm 0.2' as '58.3 ± 0.2'."""
    text = re.sub(r"[_^]\s*\{(\s*(?:\\scriptstyle|\\scriptsize)?\s*\\pm[^}]*)\}", r"\1", formula)
    text = re.sub(r"(?<=[\d}])\s*\^\s*(?:\{[^{}]*\}|\\[a-z]+|.)", "", text)
    text = re.sub(r"\\(?:scriptstyle|scriptsize|mathbf|mathrm|text|bm|boldsymbol|textbf|underline|mathit)\b", "", text)
    text = re.sub(r"\\pm\b", " ± ", text).replace("\\%", "%")
    return re.sub(r"[{}$]|\\[,;!]", "", text)


def _expanded(spanned: list[list[tuple[str, int, int]]]) -> list[list[str]]:
    """Return full rows from cells that may span several columns and rows."""
    filled: dict[tuple[int, int], str] = {}
    for row, cells in enumerate(spanned):
        column = 0
        for text, columns, rows in cells:
            while (row, column) in filled:
                column += 1
            if len(filled) + columns * min(rows, len(spanned) - row) > _CELLS:
                raise UserError(f"a table has over {_CELLS:,} cells; none is read")
            for down in range(min(rows, len(spanned) - row)):
                for right in range(columns):
                    filled[row + down, column + right] = " ".join(text.split())
            column += columns
    height, width = len(spanned), max((column + 1 for _, column in filled), default=0)
    return [[filled.get((row, column), "") for column in range(width)] for row in range(height)]
