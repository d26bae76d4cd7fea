"""Renders a report as one HTML page, Markdown and LaTeX."""

import base64
import gzip
import json
import re
from pathlib import Path

import jinja2

from kbench.document.parts import Cell, Table, anchor
from kbench.files import replacing, write_text
from kbench.report import pdf, svg
from kbench.report.content import Report
from kbench.report.latex_text import tex

TEMPLATES = Path(__file__).parent / "templates"
LONGEST = 2000
"""Rows of a table that the page holds as HTML; those of a longer one are made when asked for."""

MOST_RUNS = 200
"""Runs that the page holds as HTML; those of more are unpacked when it is opened."""


def write(report: Report, folder: Path, figures: bool = False) -> list[Path]:
    """Write index.html, report.md and report.tex into a folder and return their paths, the page
    first.

    figures: report.tex shows what `write_figures` writes.
    """
    texts = {
        "index.html": html(report),
        "report.md": markdown(report),
        "report.tex": latex(report, figures),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def write_figures(report: Report, folder: Path) -> int:
    """Write every figure as ID.svg and ID.pdf into a folder; return how many figures there are."""
    figures = [figure for section in report.sections for figure in section.figures]
    for figure in figures:
        drawing = svg.standalone(figure.svg)
        write_text(folder / f"{figure.id}.svg", drawing)
        with replacing(folder / f"{figure.id}.pdf") as temporary:
            temporary.write_bytes(pdf.of(drawing))
    return len(figures)


def html(report: Report, home: str | None = None) -> str:
    """Return the page: self-contained, with its style sheet, script and plots inline.

    home: address of the site that it is part of, if any.
    """
    template = html_environment(TEMPLATES).get_template("index.html.j2")
    return template.render(report=report, home=home, **inlined())


def html_environment(*folders: Path) -> jinja2.Environment:
    """Return what renders the templates of some folders, which can use those of reports."""
    environment = _environment(*folders, TEMPLATES, autoescape=True)
    environment.filters |= {"bind": bind, "anchor": anchor}
    environment.filters |= {"packed": packed, "compressed": compressed}
    environment.globals |= {"longest": LONGEST, "most_runs": MOST_RUNS}
    return environment


def inlined(*scripts: Path) -> dict[str, str]:
    """Return style sheet and script of a page, as they stand in it, with more scripts behind."""
    texts = [path.read_text(encoding="utf-8") for path in (TEMPLATES / "page.js", *scripts)]
    css = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    markup = jinja2.utils.markupsafe.Markup
    return {"css": markup(css), "js": markup("".join(texts))}


def packed(table: Table) -> str:
    """Return the rows of a long table as the page unpacks them: JSON, of each cell its text, or a
    list of text, what it is sorted by, and where it leads.
    """
    rows = [[_bare(cell) for cell in row] for row in table.rows]
    return compressed(json.dumps(rows, ensure_ascii=False, separators=(",", ":")))


def compressed(text: str) -> str:
    """Return text gzipped, in base 64."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _bare(cell: Cell) -> str | list[str | float | None]:
    if cell.sort is None and not cell.href:
        return cell.text
    return [cell.text, cell.sort, cell.href]


def markdown(report: Report) -> str:
    """Return the report as GitHub's Markdown, without plots."""
    environment = _environment()
    environment.filters |= {"md": md, "md_cell": _md_cell}
    return _tidy(environment.get_template("report.md.j2").render(report=report))


def latex(report: Report, figures: bool = False) -> str:
    """Return the report as a LaTeX document with booktabs tables.

    figures: with the figures, in files figures/ID.pdf beside it.
    """
    environment = _environment(
        block_start_string="((*",
        block_end_string="*))",
        variable_start_string="(((",
        variable_end_string=")))",
        comment_start_string="((#",
        comment_end_string="#))",
    )
    environment.filters |= {"tex": tex, "tex_cell": _tex_cell, "tex_columns": _tex_columns}
    environment.filters |= {"is_prose": _is_prose}
    template = environment.get_template("report.tex.j2")
    return _tidy(template.render(report=report, figures=figures))


def bind(text: str) -> str:
    """Return text with blanks that must not end a line made non-breaking: '95.4 ± 0.5 %', 'p =
    0.01'.
    """
    for loose in (" ± ", " %", " = ", " < ", " nats", " points"):
        text = text.replace(loose, loose.replace(" ", "\N{NO-BREAK SPACE}"))
    return text


def md(text: str) -> str:
    """Return text on one line in which Markdown, code in backticks apart, and HTML mean nothing.

    >>> print(md("a_b | <b> p < 0.05"))
    a\\_b \\| &lt;b> p < 0.05
    """
    escaped = re.sub(r"([\\*_|]|^[#>]|\](?=[(\[]))", r"\\\1", " ".join(str(text).split()))
    return re.sub(r"<(?=[a-zA-Z/!?])", "&lt;", escaped)


def _md_cell(cell: Cell) -> str:
    text = md(cell.text)
    return f"**{text}**" if cell.best else text


def _tex_cell(cell: Cell) -> str:
    text = tex(cell.text)
    return rf"\textbf{{{text}}}" if cell.best else text


def _tex_columns(table: Table) -> str:
    columns = len(table.header)
    if _is_prose(table):
        # The last column holds the longest text.
        return (columns - 1) * rf"p{{{0.54 / (columns - 1):.3f}\textwidth}}" + r"p{0.34\textwidth}"
    return "l" * table.text_columns + "r" * (columns - table.text_columns)


def _is_prose(table: Table) -> bool:
    """Return whether a table holds nothing but text, so that its cells break lines and it breaks
    over pages.
    """
    return table.text_columns == len(table.header)


def _environment(*folders: Path, **options: object) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders or TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )


def _tidy(text: str) -> str:
    """Return text without trailing blanks and without more than one empty line in a row."""
    lines: list[str] = []
    for line in (line.rstrip() for line in text.splitlines()):
        if line or (lines and lines[-1]):
            lines.append(line)
    return "\n".join(lines).rstrip() + "\n"
