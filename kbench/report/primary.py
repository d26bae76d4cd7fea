"""What a report says to the question that the experiment named before it ran."""

from kbench import tasks
from kbench.document.parts import ReportSection
from kbench.report import answer, tables
from kbench.report.analysis import Analysis

EXPLORATORY = (
    "No question was named before the run (`primary:` of the experiment file), so that every"
    " comparison here is exploratory."
)
OTHERS = "The question that was named before the run stands above; these are exploratory."


def sentence(analysis: Analysis) -> str | None:
    """Return the answer in short; None where nothing was asked."""
    question, pairs = analysis.question, analysis.primary
    if question is None:
        return None
    if not pairs:
        return (
            f"Named before the run: {tasks.title(question.task)} against {question.reference}."
            " There is no result of it yet."
        )
    if len(pairs) == 1:
        return f"Named before the run: {answer.pair_sentence(pairs[0])}"
    column = pairs[0].columns[0]
    asked = (
        f"Named before the run: {tasks.title(question.task)} {column.title}"
        f" {answer.over(pairs[0].columns)}, against {question.reference}"
    )
    tested = [pair for pair in pairs if pair.p_holm is not None]
    return f"{asked}. {answer.shown(tested, '')}."


def section(analysis: Analysis) -> ReportSection | None:
    """Return every comparison that was asked for; None where nothing was asked, or can be
    answered.
    """
    pairs = analysis.primary
    if not pairs:
        return None
    return ReportSection(
        "primary",
        "The question asked",
        [answer.pair_sentence(pair) for pair in pairs],
        [],
        [tables.comparison_table(analysis.question.task, pairs, "primary")],
    )
