"""Tables out of documents, as grids of text: LaTeXML's HTML (arXiv's HTML pages) and CSV."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas
from lxml import etree, html

from kbench.errors import UserError


@dataclass(frozen=True)
class Grid:
    """A table: its caption, and its cells in full rows (a spanning cell is repeated in each place
    it covers).
    """

    caption: str
    rows: list[list[str]]


def read(path: Path) -> list[Grid]:
    """Return the tables of an HTML or CSV file; UserError if it is neither or holds no table."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if Path(path).suffix.lower() == ".csv":
        grids = [Grid(Path(path).name, _comma_separated(path, text))]
    else:
        grids = _latexml(text)
    if not any(grid.rows for grid in grids):
        raise UserError(
            f"{path} holds no table (expected a CSV file, or HTML with tables of class ltx_tabular)"
        )
    return grids


def _comma_separated(path: Path, text: str) -> list[list[str]]:
    try:
        table = pandas.read_csv(io.StringIO(text), header=None, dtype=str, keep_default_na=False)
    except pandas.errors.EmptyDataError:
        return []
    except pandas.errors.ParserError as error:
        raise UserError(f"{path} is no CSV file: {error}") from error
    rows = [[cell.strip() for cell in row] for row in table.fillna("").values.tolist()]
    return [row for row in rows if any(row)]


def _latexml(text: str) -> list[Grid]:
    """Return LaTeXML's tables: <figure class=ltx_table> with a caption around tables of class
    ltx_tabular.

    LaTeXML also writes tables, rows and cells as <span class="ltx_tabular">, "ltx_tr" and "ltx_td".
    Formulas are read from the alttext of <math>. Notes, citations and raised marks are no part of a
    cell or caption. A table inside a table's cell belongs to the cell.
    """
    if not text.strip():
        return []
    # As bytes: lxml refuses text that declares an encoding.
    page = html.document_fromstring(
        text.encode(), parser=html.HTMLParser(encoding="utf-8", huge_tree=True)
    )
    for element in list(page.iter(etree.Comment, etree.ProcessingInstruction)):
        element.drop_tree()
    for formula in list(page.iter("math")):
        _replace(formula, _plain(formula.get("alttext", "")))
    for aside in list(page.xpath(f"//sup | {_with('ltx_note', 'ltx_cite', 'ltx_sup')}")):
        aside.drop_tree()
    for line_break in list(page.iter("br")):
        _replace(line_break, " ")
    return [
        Grid(_caption(table), _rows(table))
        for table in page.xpath(_with("ltx_tabular"))
        if not _within(table)
    ]


def _with(*classes: str) -> str:
    """Return an XPath of the elements that have one of these classes."""
    return (
        "//*["
        + " or ".join(f"contains(concat(' ', @class, ' '), ' {name} ')" for name in classes)
        + "]"
    )


def _replace(element: html.HtmlElement, text: str) -> None:
    element.tail = text + (element.tail or "")
    element.drop_tree()


def _classes(element: html.HtmlElement) -> set[str]:
    return set(element.get("class", "").split())


def _inner(element: html.HtmlElement, *classes: str) -> Iterator[html.HtmlElement]:
    """Return what has one of these classes below an element, but not below a table or cell in
    between.
    """
    for child in element:
        if _classes(child) & set(classes):
            yield child
        elif not _classes(child) & {"ltx_tabular", "ltx_td", "ltx_th"}:
            yield from _inner(child, *classes)


def _within(table: html.HtmlElement) -> bool:
    return any(_classes(above) & {"ltx_td", "ltx_th"} for above in table.iterancestors())


def _caption(table: html.HtmlElement) -> str:
    figures = (above for above in table.iterancestors() if "ltx_table" in _classes(above))
    captions = (caption for figure in figures for caption in _inner(figure, "ltx_caption"))
    return " ".join(" ".join(caption.text_content() for caption in captions).split())


def _rows(table: html.HtmlElement) -> list[list[str]]:
    """Return a table's full rows, by pandas, of its bare cells."""
    rows = [list(_inner(row, "ltx_td", "ltx_th")) for row in _inner(table, "ltx_tr")]
    bare, size = html.Element("table"), 0
    for index, cells in enumerate(rows):
        row = etree.SubElement(bare, "tr")
        for cell in cells:
            columns, down = _span(cell, "col"), min(_span(cell, "row"), len(rows) - index)
            size += columns * down
            if size > _CELLS:
                raise UserError(f"a table has over {_CELLS:,} cells; none is read")
            spans = {"colspan": str(columns), "rowspan": str(down)}
            etree.SubElement(row, "td", spans).text = _MARK + " ".join(cell.text_content().split())
    if not size:
        return []
    text = io.StringIO(etree.tostring(bare, encoding="unicode"))
    [frame] = pandas.read_html(text, flavor="lxml")
    return [[cell.removeprefix(_MARK) for cell in row] for row in frame.fillna("").values.tolist()]


_MARK = "="
"""Before each cell, so that pandas takes it for text: '41.50' must not become 41.5."""
_WIDEST = 1000
"""Largest span of a cell, as in the HTML standard for columns."""
_CELLS = 100_000
"""Most cells of a table: a page of few bytes may ask for any number by spans."""


def _span(cell: html.HtmlElement, side: str) -> int:
    """Return a span from colspan=2, or from the class ltx_colspan_2 of a <span>; `side` is col or
    row.
    """
    named = re.search(rf"\bltx_{side}span_(\d+)\b", cell.get("class", ""), re.ASCII)
    text = named[1] if named else cell.get(f"{side}span", "")
    return min(max(int(text[:6]), 1), _WIDEST) if text.isascii() and text.isdecimal() else 1


def _plain(formula: str) -> str:
    """Return a formula's numbers and signs as text: '58.3\\pm 0.2' as '58.3 ± 0.2'."""
    text = re.sub(r"[_^]\s*\{(\s*(?:\\scriptstyle|\\scriptsize)?\s*\\pm[^}]*)\}", r"\1", formula)
    text = re.sub(r"(?<=[\d}])\s*\^\s*(?:\{[^{}]*\}|\\[a-z]+|.)", "", text)
    text = re.sub(
        r"\\(?:scriptstyle|scriptsize|mathbf|mathrm|text|bm|boldsymbol|textbf|underline|mathit)\b",
        "",
        text,
    )
    text = re.sub(r"\\pm\b", " ± ", text).replace("\\%", "%")
    return re.sub(r"[{}$]|\\[,;!]", "", text)
