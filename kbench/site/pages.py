"""What is on each page of a site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kbench import similarity, tasks
from kbench.datasets import dataset as known_datasets
from kbench.document.numbers import heading, number, unit_name
from kbench.document.parts import Cell, Figure, Table, slug
from kbench.errors import UserError
from kbench.report import content
from kbench.report.analysis import Analysis
from kbench.results.summary import Column
from kbench.results.text import mean_sd
from kbench.site import plot, standings
from kbench.site.standings import Standing

SIDE_BY_SIDE = (
    "Experiments differ in more than the similarity, and no test is between them here: kbench"
    " compare sets two beside each other with verdicts."
)


LEAST_SPREAD = 1.2
"""Of the operations of trainings, for a figure of quality against them to say anything."""


@dataclass(frozen=True)
class Part:
    """A heading with sentences, figures and tables."""

    title: str
    sentences: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """A page at a path below the site, of a kind that the index groups by."""

    path: str
    kind: str
    title: str
    lead: str
    parts: list[Part]

    @property
    def home(self) -> str:
        """The way up to the site's folder."""
        return "../" * self.path.count("/")


@dataclass(frozen=True)
class Experiment:
    """An experiment with its report and where that lies."""

    analysis: Analysis
    report: content.Report
    updated: str  # when its last result was written

    @classmethod
    def of(cls, analysis: Analysis) -> Experiment:
        """Build the report of an analysis."""
        ended = [result.provenance.ended or "" for result in analysis.store.results]
        return cls(analysis, content.build(analysis), max(ended, default=""))

    @property
    def path(self) -> str:
        """Where its report lies."""
        return f"experiments/{slug(self.report.name)}/index.html"


def build(experiments: Sequence[Experiment], title: str) -> list[Page]:
    """Return all pages but the reports; the index first."""
    every = [one for experiment in experiments for one in standings.of(experiment.analysis)]
    pages = [_leaderboard(every), *_similarities(every), *_datasets(every)]
    return [_index(experiments, title), *pages]


def _index(experiments: Sequence[Experiment], title: str) -> Page:
    rows = [
        [
            Cell(experiment.report.name, href=experiment.path),
            Cell(experiment.report.answer[0] if experiment.report.answer else "–"),
            Cell(str(len(experiment.report.runs)), len(experiment.report.runs)),
            Cell(
                str(len(experiment.analysis.store.results)), len(experiment.analysis.store.results)
            ),
            Cell(experiment.updated[:10] or "–"),
        ]
        for experiment in experiments
    ]
    header = ["Experiment", "What it answers", "Runs", "Results", "Last result"]
    table = Table(
        "experiments", "Experiments, with the first sentence of their reports", header, rows, [], 2
    )
    lead = (
        f"{len(experiments)} experiment{'s'[: len(experiments) != 1]}, each with its whole report."
    )
    return Page("index.html", "", title, lead, [Part("Experiments", tables=[table])])


def _leaderboard(every: Sequence[Standing]) -> Page:
    parts = [
        Part(_title(column), figures=_figures(some, column), tables=[_table(some, column, "")])
        for column, some in standings.by_column(every).items()
    ]
    lead = "Every variant of every experiment, by task and evaluation set."
    return Page(
        "leaderboard.html", "Leaderboard", "Leaderboard", lead, [Part("", [SIDE_BY_SIDE]), *parts]
    )


def _similarities(every: Sequence[Standing]) -> Iterator[Page]:
    for name in sorted({standing.similarity for standing in every}):
        own = [standing for standing in every if standing.similarity == name]
        tables = [_table(some, column, "../") for column, some in standings.by_column(own).items()]
        path = f"similarities/{slug(name)}.html"
        yield Page(path, "Similarities", name, _formula(name), [Part("Scores", tables=tables)])


def _datasets(every: Sequence[Standing]) -> Iterator[Page]:
    for name in sorted({standing.column.dataset for standing in every}):
        own = [standing for standing in every if standing.column.dataset == name]
        parts = [
            Part(
                _title(column), figures=_figures(some, column), tables=[_table(some, column, "../")]
            )
            for column, some in standings.by_column(own).items()
        ]
        path = f"datasets/{slug(name)}.html"
        yield Page(path, "Evaluation sets", name, _about(name), [Part("", [SIDE_BY_SIDE]), *parts])


def _table(some: Sequence[Standing], column: Column, home: str) -> Table:
    """Return the standings of a column, the best first."""
    rows = [
        [
            Cell(one.variant, href=f"{home}similarities/{slug(one.similarity)}.html"),
            Cell(one.experiment, href=f"{home}experiments/{slug(one.experiment)}/index.html"),
            Cell(one.corpus),
            Cell(mean_sd(one.summary, column.unit), one.summary.mean),
            Cell(_interval(one)),
            Cell(str(one.summary.n), one.summary.n),
            Cell("–" if one.operations is None else f"{one.operations:.2g}", one.operations),
        ]
        for one in standings.best_first(some)
    ]
    measured = ", ".join(filter(None, (column.title, unit_name(column.unit))))
    header = ["Variant", "Experiment", "Corpus", measured, "95 % interval", "Seeds", "Operations"]
    notes = [
        "Mean ± sd over training seeds; the interval is of the mean, over training seeds and, where"
        " scores of single samples are there, test samples. Operations: floating-point ones of the"
        " towers in one training, as torch counts them."
    ]
    identity = f"{column.task}-{slug(column.dataset)}-{slug(column.metric)}"
    return Table(identity, _title(column), header, rows, notes, text_columns=3)


def _figures(some: Sequence[Standing], column: Column) -> list[Figure]:
    """Return quality against operations, where there are several of both."""
    known = [one for one in some if one.operations]
    prices = [one.operations for one in known]
    if not prices or max(prices) < LEAST_SPREAD * min(prices):
        return []
    return [plot.against_operations(known, column, _title(column))]


def _interval(standing: Standing) -> str:
    if standing.interval is None:
        return "–"
    return " to ".join(number(end, standing.column.unit) for end in standing.interval)


def _title(column: Column) -> str:
    return f"{heading(tasks.title(column.task))}, {column.title}, on {column.dataset}"


def _formula(name: str) -> str:
    """Return what is known here of a similarity."""
    try:
        known = similarity.get(name)
    except UserError:
        return "A similarity that is not installed here."
    return f"{known.formula} ({known.source})"


def _about(name: str) -> str:
    """Return where an evaluation set is from."""
    known = name in known_datasets.names()
    return known_datasets.get(name).source if known else "An evaluation set that is not known here."
