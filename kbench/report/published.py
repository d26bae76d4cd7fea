"""Tables that set the experiment beside published numbers."""

from itertools import groupby

from kbench import tasks
from kbench.document.numbers import number
from kbench.document.parts import Cell, Table
from kbench.report.tables import OUTCOMES, difference_cells, p_text
from kbench.results import agreement, published
from kbench.results.agreement import Claim, TableAgreement
from kbench.results.verdicts import NOT_COMPARABLE, Verdict

COMPARABLE_NOTE = (
    "Difference: ours - theirs, with the 95 % prediction interval of a single training of theirs:"
    " it covers the spread of our trainings, theirs (their sd where it is given, else ours) and,"
    " where the source does not say that the test images are the same, the choice of these."
    " Reproduced: two one-sided tests at 5 % place the true difference within the experiment's"
    " margin. Higher, lower: it is not 0, at 5 % after Holm's correction over the table's cells."
    " Inconclusive: neither can be said; with one seed nothing can."
)


def tables(verdicts: list[Verdict], claims: list[Claim]) -> list[Table]:
    """Return the comparable cells with what follows from them, if there are any, and the others by
    reason.
    """
    comparable = [verdict for verdict in verdicts if verdict.status != NOT_COMPARABLE]
    others = [verdict for verdict in verdicts if verdict.status == NOT_COMPARABLE]
    made = [_comparable(comparable)] if comparable else []
    overall = agreement.tables(comparable)
    made += [_overall(overall)] if overall else []
    made += [_claims(claims)] if claims else []
    return made + ([_not_comparable(others)] if others else [])


def every_cell(verdicts: list[Verdict]) -> Table:
    """Return one row a published cell."""
    rows = [
        [
            Cell(verdict.row.source, href=verdict.row.url),
            Cell(_setting(verdict)),
            Cell(verdict.row.variant),
            Cell(verdict.row.dataset),
            Cell(_task(verdict)),
            Cell(tasks.metric_title(verdict.row.task, verdict.row.metric)),
            _published(verdict),
            _ours(verdict),
            Cell(verdict.status),
        ]
        for verdict in verdicts
    ]
    header = [
        "Source",
        "Setting",
        "Variant",
        "Dataset",
        "Task",
        "Metric",
        "Published, %",
        "Ours, %",
        "Verdict",
    ]
    caption = f"Every published cell ({len(verdicts)})"
    return Table("published-cells", caption, header, rows, text_columns=6, searchable=True)


def _comparable(verdicts: list[Verdict]) -> Table:
    rows = [
        [
            Cell(verdict.row.variant),
            Cell(verdict.row.dataset),
            Cell(f"{_task(verdict)}, {tasks.metric_title(verdict.row.task, verdict.row.metric)}"),
            Cell(verdict.row.source, href=verdict.row.url),
            _published(verdict),
            _ours(verdict),
            _difference(verdict),
            _p_value(verdict),
            Cell(verdict.status),
            Cell("; ".join(verdict.caveats) or "–"),
        ]
        for verdict in verdicts
    ]
    header = [
        "Variant",
        "Dataset",
        "Task and metric",
        "Source",
        "Published, %",
        "Ours, %",
        "Difference",
    ]
    header += ["p (Holm)", "Verdict"]
    caption = f"Comparable with this experiment: {len(verdicts)} published cells"
    return Table(
        "published-comparable",
        caption,
        [*header, "Not covered"],
        rows,
        [COMPARABLE_NOTE],
        text_columns=4,
    )


def _overall(tables: list[TableAgreement]) -> Table:
    rows = [
        [
            Cell(entry.source),
            Cell(f"{entry.table}, {tasks.title(entry.task)}, {entry.objective}"),
            Cell(str(entry.cells), entry.cells),
            Cell(_number(entry.mean_difference, entry.unit), entry.mean_difference),
            Cell(number(entry.rank_correlation, "correlation"), entry.rank_correlation),
        ]
        for entry in tables
    ]
    header = ["Source", "Table", "Cells", "Mean difference", "Rank correlation of variants"]
    return Table("published-overall", "Whole tables: ours - theirs", header, rows, text_columns=2)


def _claims(claims: list[Claim]) -> Table:
    rows = [
        [
            Cell(claim.source),
            Cell(f"{claim.comparison.first} better than {claim.comparison.second}"),
            Cell(f"{tasks.title(claim.task)}, {len(claim.comparison.columns)} datasets"),
            Cell(claim.verdict),
            Cell(number(claim.published / 100, "fraction"), claim.published),
            *difference_cells(claim.comparison),
        ]
        for claim in claims
    ]
    header = ["Source", "Published on average", "Over", "Here", "Theirs, points"]
    header += ["Ours, points", *OUTCOMES]
    note = (
        "Open: our difference does not stand out from chance at the 5 % level after Holm's"
        " correction."
    )
    return Table(
        "published-claims", "Published orders of two variants", header, rows, [note], text_columns=4
    )


def _not_comparable(verdicts: list[Verdict]) -> Table:
    groups = groupby(sorted(verdicts, key=_kind), key=_kind)
    rows = [_group_row(list(members)) for _, members in groups]
    caption = f"Not comparable with this experiment: {len(verdicts)} published cells"
    header = [
        "Source",
        "Setting",
        "Variants; tasks; datasets",
        "Published, %",
        "Why not comparable",
    ]
    return Table("published-not-comparable", caption, header, rows, text_columns=5)


def _kind(verdict: Verdict) -> tuple:
    return (verdict.row.source, _setting(verdict), verdict.reasons, verdict.row.value is None)


def _group_row(members: list[Verdict]) -> list[Cell]:
    first = members[0]
    variants, tasks, datasets = (
        list(dict.fromkeys(name(member) for member in members))
        for name in (lambda member: member.row.variant, _task, lambda member: member.row.dataset)
    )
    where = ", ".join(datasets) if len(datasets) < 4 else f"{len(datasets)} datasets"
    value = published.value_text(first.row)
    if first.row.value is not None and len(members) > 1:
        value = f"{len(members)} values"
    return [
        Cell(first.row.source, href=first.row.url),
        Cell(_setting(first)),
        Cell(f"{', '.join(variants)}; {', '.join(tasks)}; {where}"),
        Cell(value),
        Cell("; ".join(first.reasons)),
    ]


def _setting(verdict: Verdict) -> str:
    row = verdict.row
    if row.weights:
        return f"weights {row.weights}"
    epochs = "epochs not stated" if row.epochs is None else f"{row.epochs:g} epochs"
    return f"{row.corpus}, {row.backbone}, {epochs}"


def _task(verdict: Verdict) -> str:
    return tasks.title(verdict.row.task)


def _published(verdict: Verdict) -> Cell:
    return Cell(published.value_text(verdict.row), verdict.row.value)


def _ours(verdict: Verdict) -> Cell:
    return Cell(_number(verdict.ours, verdict.row.unit), verdict.ours)


def _difference(verdict: Verdict) -> Cell:
    if verdict.difference is None:
        return Cell("–")
    parts = (verdict.difference, verdict.low, verdict.high)
    value, low, high = (_number(part, verdict.row.unit) for part in parts)
    return Cell(value if verdict.low is None else f"{value} ({low} to {high})", verdict.difference)


def _p_value(verdict: Verdict) -> Cell:
    return Cell("–" if verdict.p_holm is None else p_text(verdict.p_holm), verdict.p_holm)


def _number(value: float | None, unit: str) -> str:
    """Return a number in its published unit, as a table has it."""
    if value is None or unit != "percent":
        return number(value, unit) + (" nats" if unit == "nats" and value is not None else "")
    return number(value / 100, "fraction")
