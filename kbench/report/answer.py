"""The report's first three sentences: who is where, how sure that is, and what a ranking would
need.
"""

from collections.abc import Sequence

from kbench import tasks
from kbench.document.numbers import number, unit_name
from kbench.report.analysis import REFERENCE, Analysis
from kbench.results.pairs import Comparison
from kbench.results.summary import Column, Summary
from kbench.results.text import mean_sd

SEEDS_FOR_A_RANKING = 5


def nothing(analysis: Analysis) -> str:
    """Return that there is no result yet."""
    return f"There is no result yet: all {analysis.store.expected} are missing."


def pair_sentence(pair: Comparison) -> str:
    """Return a comparison in words: the difference, its interval, over what, and how sure."""
    column, estimate = pair.columns[0], pair.estimate
    if estimate is None:
        return (
            f"{pair.first} and {pair.second} cannot be tested {over(pair.columns)}: too few seeds"
            " in common."
        )
    size = (
        f"{number(abs(estimate.value), column.unit)} {difference_unit(column)} [{interval(pair)}]"
    )
    side = "above" if estimate.value > 0 else "below"
    chance = f"{p_statement(pair.p_holm)} after Holm's correction"
    seeds = (
        f"{estimate.seeds} seeds"
        if estimate.seeds > 1
        else "1 seed, so that the variance of training is unknown"
    )
    what = f"{tasks.title(column.task)} {column.title}"
    return (
        f"{pair.first} is {size} {side} {pair.second} in {what} {over(pair.columns)} ({seeds},"
        f" {chance})."
    )


def over(columns: Sequence[Column]) -> str:
    """Return over which datasets a figure is: 'on average over 6 datasets' or 'on world-pairs'."""
    return (
        f"on average over {len(columns)} datasets"
        if len(columns) > 1
        else f"on {columns[0].dataset}"
    )


def interval(pair: Comparison) -> str:
    """Return the 95 % interval of the absolute difference, in the direction that the sentence
    states.
    """
    estimate, unit = pair.estimate, pair.columns[0].unit
    low, high = (
        (estimate.low, estimate.high) if estimate.value > 0 else (-estimate.high, -estimate.low)
    )
    return f"{number(low, unit)}, {number(high, unit)}"


def difference_unit(column: Column) -> str:
    """Return the unit of a difference: points for fractions."""
    return "points" if column.unit == "fraction" else unit_name(column.unit)


def p_text(p: float | None) -> str:
    """Return a p-value for people."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def p_statement(p: float | None) -> str:
    """Return 'p = 0.03', or 'p < 0.001'."""
    text = p_text(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def listed(names: list[str]) -> str:
    """Return 'a', 'a and b' or 'a, b and c'."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def order(analysis: Analysis) -> str:
    """Return who scores best in the first task, and where the reference is."""
    task = analysis.tasks[0]
    columns = analysis.columns(task)
    ranked = analysis.scores.ranked(columns)
    if not ranked:
        return f"No variant has results on all {len(columns)} datasets of {tasks.title(task)} yet."
    best, average = ranked[0]
    unit = columns[0].unit
    start = (
        f"In {tasks.title(task)} {columns[0].title} {over(columns)}, {best} scores best with "
        f"{_score(average, unit)} ({_seeds(average)})"
    )
    return start + _others(ranked, unit) + "."


def _others(ranked: list[tuple[str, Summary]], unit: str) -> str:
    names = [name for name, _ in ranked]
    if len(names) == 1:
        return ""
    if REFERENCE not in names:
        return f", {names[-1]} worst with {_score(ranked[-1][1], unit)}"
    position = names.index(REFERENCE)
    behind = names[position + 1 :]
    own = f"; {REFERENCE} reaches {_score(ranked[position][1], unit)}" if position else ""
    if not behind:
        return f"{own}; none ranks behind {REFERENCE}"
    verb = "ranks" if len(behind) == 1 else "rank"
    last = f", {names[-1]} last with {_score(ranked[-1][1], unit)}"
    return f"{own}; {listed(behind)} {verb} behind {REFERENCE}{last if len(behind) > 1 else ''}"


def certainty(analysis: Analysis) -> str:
    """Return how many pairs differ beyond chance, and who is nearest to the optimum."""
    task = analysis.tasks[0]
    pairs = [pair for pair in analysis.comparisons(task) if pair.p_holm is not None]
    start = _beyond_chance(pairs, " at the same embedding dimension" if analysis.lines else "")
    if pairs and not any(pair.estimate.covers_training for pair in pairs):
        start += ", and with one seed the variance of training is unknown"
    return start + _verdicts(analysis) + "."


def _beyond_chance(pairs: list[Comparison], scope: str) -> str:
    if not pairs:
        return "No two variants can be tested against each other yet"
    beyond = [pair for pair in pairs if pair.significant]
    if not beyond:
        smallest = p_text(min(pair.p_holm for pair in pairs))
        return (
            f"None of the {len(pairs)} pairs{scope} differs beyond chance after Holm's correction "
            f"(smallest p = {smallest})"
        )
    widest = max(beyond, key=lambda pair: abs(pair.estimate.value))
    return (
        f"{len(beyond)} of {len(pairs)} pairs{scope} differ beyond chance after Holm's correction,"
        f" most of all {widest.first} from {widest.second}, by"
        f" {number(abs(widest.estimate.value), _unit(widest))} {difference_unit(widest.columns[0])}"
        f" [{interval(widest)}]"
    )


def _verdicts(analysis: Analysis) -> str:
    if analysis.lines:
        return ""
    return "".join(
        f"; {verdict}" for task in analysis.tasks if (verdict := _verdict(analysis, task))
    )


def _verdict(analysis: Analysis, task: str) -> str | None:
    declared, columns = tasks.find(task), analysis.columns(task)
    ranked = analysis.scores.ranked(columns)
    if declared is None or not ranked:
        return None
    name, average = ranked[0]
    return declared.verdict(name, _score(average, columns[0].unit))


def ranking(analysis: Analysis) -> str:
    """Return what is wanting before the order may be called a ranking of the methods."""
    seeds = min((len(analysis.runs_of(group)) for group in analysis.scores.groups), default=0)
    steps = len({card.steps for card in analysis.store.cards.values()})
    needs = _tuning_needs(analysis)
    if seeds < SEEDS_FOR_A_RANKING:
        needs.append(f"at least {SEEDS_FOR_A_RANKING} seeds (here {seeds})")
    if steps < 2:
        needs.append(f"several step counts (here {steps})")
    if not needs:
        return (
            f"Every variant had the same tuning budget, {seeds} seeds and several step counts; "
            "the order holds for this corpus and these towers."
        )
    return f"This order is not a ranking of the methods: that would need {listed(needs)}."


def _tuning_needs(analysis: Analysis) -> list[str]:
    tuning = analysis.store.tuning
    if (
        tuning
        and len(tuning.trials) == 1
        and set(analysis.store.experiment.variants) == set(tuning.variants)
    ):
        return []
    seen = "the recorded budgets differ" if tuning else "none is recorded here"
    return [f"an equal tuning budget for every variant on separate validation data ({seen})"]


def _score(average: Summary, unit: str) -> str:
    return f"{mean_sd(average, unit)} {unit_name(unit)}".strip()


def _seeds(average: Summary) -> str:
    return f"mean ± sd over {average.n} seeds" if average.n > 1 else "1 seed"


def _unit(pair: Comparison) -> str:
    return pair.columns[0].unit
