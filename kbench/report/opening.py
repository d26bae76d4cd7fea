"""What the page shows beside its first sentences: one figure and three numbers."""

from dataclasses import dataclass

from kbench import tasks
from kbench.document.numbers import heading, number
from kbench.document.parts import Figure
from kbench.report import plots
from kbench.report.analysis import Analysis
from kbench.report.answer import difference_unit, found_from, over
from kbench.results.pairs import Comparison


@dataclass(frozen=True)
class KeyNumber:
    """A number with what it is."""

    value: str
    meaning: str


def figure(analysis: Analysis) -> Figure | None:
    """Return the figure that shows the answer: scores against the dimension where that is what runs
    differ in, the differences that were asked for elsewhere; None where nothing can be tested.
    """
    pairs = _tested(analysis)
    if not pairs:
        return None
    task, columns = pairs[0].columns[0].task, pairs[0].columns
    if analysis.lines:
        return plots.dimension(analysis, task, "opening")
    title = f"{heading(tasks.title(task))} {columns[0].title}, {over(columns)}"
    return plots.differences(pairs, f"opening-{task}", title)


def numbers(analysis: Analysis) -> list[KeyNumber]:
    """Return how many of the pairs a test separates, the widest difference, and how sure it is;
    nothing where nothing can be tested.
    """
    pairs = _tested(analysis)
    if not pairs:
        return []
    apart = [pair for pair in pairs if pair.significant]
    widest = max(apart or pairs, key=lambda pair: abs(pair.estimate.value))
    unit = widest.columns[0].unit
    ends = [number(end, unit) for end in (widest.estimate.low, widest.estimate.high)]
    size, points = number(widest.estimate.value, unit), difference_unit(widest.columns[0])
    asked = "asked about" if analysis.question else "of variants"
    return [
        KeyNumber(f"{len(apart)} of {len(pairs)}", f"pairs {asked} that a test separates"),
        KeyNumber(
            f"{size} {points}".strip(),
            f"{widest.first} less {widest.second}, 95 % interval {' to '.join(ends)}",
        ),
        KeyNumber(
            f"{found_from(widest.detectable, unit)} {points}".strip(),
            f"would have been found four times in five, with {widest.estimate.seeds} seeds",
        ),
    ]


def _tested(analysis: Analysis) -> list[Comparison]:
    """Return the tested pairs that were asked about, or of the first task where nothing was."""
    if analysis.question:
        pairs = analysis.primary
    else:
        pairs = analysis.told(analysis.tasks[0]) if analysis.tasks else []
    return [pair for pair in pairs if pair.estimate and pair.p_holm is not None]
