"""What a report is made of, independent of the format it is written in."""

import re
from dataclasses import dataclass, field
from typing import NamedTuple


def slug(name: str) -> str:
    """Return a name as an id or the name of a file has it."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name)


def anchor(group: str) -> str:
    """Return the id of the part of the page that lists a group's runs."""
    return f"variant-{slug(group)}"


# Made in a third of the time of a frozen dataclass; a large page has 800,000.
class Cell(NamedTuple):
    """One table cell: what is shown, and what it is sorted by."""

    text: str
    sort: float | None = None  # None: sorted by its text
    best: bool = False
    filter: str = ""  # filter of the table of all results that shows where the number comes from
    href: str = ""
    title: str = ""


def variant(group: str) -> Cell:
    """Return a variant's name that leads to its runs."""
    return Cell(group, href=f"#{anchor(group)}")


@dataclass(frozen=True)
class Table:
    """A table with a caption that says what its numbers are, and notes below it."""

    id: str
    caption: str
    header: list[str]
    rows: list[list[Cell]]
    notes: list[str] = field(default_factory=list)
    text_columns: int = 1  # how many of the first columns hold text, not numbers
    searchable: bool = False


@dataclass(frozen=True)
class Figure:
    """A plot as inline SVG."""

    id: str
    svg: str
    alternative: str  # what a reader who does not see it should know
    caption: str


@dataclass(frozen=True)
class ReportSection:
    """A part of the report: a heading, sentences, figures and tables."""

    id: str
    title: str
    sentences: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    details: list[Table] = field(default_factory=list)  # long tables, folded away on the page only
