"""The report's first sentences: the means, what a test shows of them, and what a ranking would
need.
"""

from collections.abc import Sequence

from kbench import tasks
from kbench.document.numbers import number, unit_name
from kbench.report.analysis import REFERENCE, Analysis
from kbench.results.pairs import Comparison, Outcome
from kbench.results.reservations import GENERATIVE
from kbench.results.summary import Column, Summary
from kbench.results.text import mean_sd

SEEDS_FOR_A_RANKING = 5


def nothing(analysis: Analysis) -> str:
    """Return that there is no result yet."""
    return f"There is no result yet: all {analysis.store.expected} are missing."


def pair_sentence(pair: Comparison) -> str:
    """Return a comparison in words: what the test shows, the difference and its interval, over
    what, and how sure.
    """
    column, estimate = pair.columns[0], pair.estimate
    if estimate is None:
        return (
            f"{pair.first} and {pair.second} cannot be tested {over(pair.columns)}: that takes two"
            " seeds of each, or scores of single images, which are not all alike."
        )
    unit = difference_unit(column)
    size = _size(pair)
    seeds = (
        f"{estimate.seeds} seeds"
        if estimate.seeds > 1
        else "1 seed, so that the variance of training is unknown"
    )
    where = f"in {tasks.title(column.task)} {column.title} {over(pair.columns)}"
    sure = f"({seeds}, {p_statement(pair.p_holm)} after Holm's correction)"
    if pair.significant:
        side = "above" if estimate.value > 0 else "below"
        return f"{pair.first} is {size} {side} {pair.second} {where} {sure}."
    if pair.outcome == Outcome.EQUIVALENT:
        margin = f"{number(pair.margin, column.unit)} {unit}"
        return (
            f"{pair.first} and {pair.second} are equivalent within {margin} {where}: they are"
            f" {size} apart {sure}."
        )
    return (
        f"No difference is shown between {pair.first} and {pair.second} {where}: {size} {sure};"
        f" the smallest that would have been found is {found_from(pair.detectable, column.unit)}"
        f" {unit}."
    )


def over(columns: Sequence[Column]) -> str:
    """Return over which datasets a figure is: 'on average over 6 datasets' or 'on world-pairs'."""
    return (
        f"on average over {len(columns)} datasets"
        if len(columns) > 1
        else f"on {columns[0].dataset}"
    )


def found_from(size: float, unit: str) -> str:
    """Return the smallest difference that would have been found; shares do not differ by more than
    100 points.
    """
    return "over 100" if unit == "fraction" and size > 1 else number(size, unit)


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
    """Return the highest and lowest mean in the first task and the reference's, as numbers: who is
    ahead of whom is for a test to say.
    """
    task = analysis.tasks[0]
    columns = analysis.columns(task)
    ranked = analysis.scores.ranked(columns)
    if not ranked:
        return f"No variant has results on all {len(columns)} datasets of {tasks.title(task)} yet."
    best, average = ranked[0]
    unit = columns[0].unit
    extreme = "highest" if columns[0].higher_is_better else "lowest"
    start = (
        f"In {tasks.title(task)} {columns[0].title} {over(columns)}, the {extreme} mean is"
        f" {best}'s, {_score(average, unit)} ({_seeds(average)})"
    )
    others = [
        f"{name}'s is {_score(mean, unit)}{_fewer(mean, average)}"
        for name, mean in ranked[1:]
        if name in (REFERENCE, ranked[-1][0])
    ]
    return f"{'; '.join([start, *others])}."


def _fewer(mean: Summary, of_the_best: Summary) -> str:
    return f" ({_seeds(mean)})" if mean.n != of_the_best.n else ""


def certainty(analysis: Analysis) -> str:
    """Return which pairs a test separates, what it would have found of the others, and who is
    nearest to the optimum.
    """
    task = analysis.tasks[0]
    pairs = [pair for pair in analysis.comparisons(task) if pair.p_holm is not None]
    start = shown(pairs, " at the same embedding dimension" if analysis.lines else "")
    start = f"Exploratory: {start[0].lower()}{start[1:]}" if analysis.question else start
    if pairs and not any(pair.estimate.covers_training for pair in pairs):
        start += ", and with one seed the variance of training is unknown"
    return start + _verdicts(analysis) + "."


MOST_ORDERED = 12
"""Separated pairs that are told one by one."""


def shown(pairs: list[Comparison], scope: str) -> str:
    """Return what the tests of some pairs show, in half a sentence; scope: which pairs."""
    if not pairs:
        return "No two variants can be tested against each other yet"
    apart = [pair for pair in pairs if pair.significant]
    start = (
        f"Of {len(pairs)} pairs{scope} a test separates {len(apart) or 'none'} after Holm's"
        " correction"
    )
    told = [_orders(apart)] if 0 < len(apart) <= MOST_ORDERED else []
    told += [_widest(apart)] if len(apart) > 1 else []
    return "; ".join([": ".join([start, *told[:1]]), *told[1:], *_not_separated(pairs)])


def _orders(apart: list[Comparison]) -> str:
    """Return who is above whom, variant by variant; of a single pair by how much."""
    above: dict[str, list[str]] = {}
    for pair in apart:
        higher = pair.outcome == Outcome.HIGHER
        one, other = (pair.first, pair.second) if higher else (pair.second, pair.first)
        above.setdefault(one, []).append(other)
    alone = f" by {_size(apart[0])}" if len(apart) == 1 else ""
    return ", ".join(f"{one} is above {listed(others)}{alone}" for one, others in above.items())


def _widest(apart: list[Comparison]) -> str:
    widest = max(apart, key=lambda pair: abs(pair.estimate.value))
    return f"the widest difference is {widest.first}'s from {widest.second}'s, {_size(widest)}"


def _size(pair: Comparison) -> str:
    """Return how far a pair is apart, with its interval."""
    size = number(abs(pair.estimate.value), _unit(pair))
    return f"{size} {difference_unit(pair.columns[0])} [{interval(pair)}]"


def _not_separated(pairs: list[Comparison]) -> list[str]:
    same = [pair for pair in pairs if pair.outcome == Outcome.EQUIVALENT]
    unseen = [pair for pair in pairs if pair.outcome == Outcome.OPEN]
    said = []
    if same:
        margin = f"{number(same[0].margin, _unit(same[0]))} {difference_unit(same[0].columns[0])}"
        verb = "is" if len(same) == 1 else "are"
        said.append(f"{len(same)} {verb} equivalent within {margin}")
    if unseen:
        least = min(pair.p_holm for pair in unseen)
        sizes = sorted(pair.detectable for pair in unseen)
        reach = " to ".join(
            dict.fromkeys(found_from(sizes[end], _unit(unseen[0])) for end in (0, -1))
        )
        said.append(
            f"of {len(unseen)} no difference is shown (smallest p = {p_text(least)}), where"
            f" {reach} {difference_unit(unseen[0].columns[0])} would have been found four times in"
            " five"
        )
    return said


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


def of_another_kind(analysis: Analysis) -> list[str]:
    """Return whose numbers stand for something else than the others', if anybody's do."""
    said = analysis.reservations.items()
    groups = [group for group, sentences in said if GENERATIVE in sentences]
    return [f"Not of one kind with the others, {listed(groups)}: {GENERATIVE}."] if groups else []


def ranking(analysis: Analysis) -> str:
    """Return what is wanting before what a test separates may be called an order of the methods;
    seeds count where their results are there.
    """
    task = analysis.tasks[0]
    columns, pairs = analysis.columns(task), analysis.comparisons(task)
    seeds = min(
        (analysis.scores.average(group, columns).n for group in analysis.scores.groups), default=0
    )
    steps = len({card.steps for card in analysis.store.cards.values()})
    needs = _tuning_needs(analysis)
    if seeds < SEEDS_FOR_A_RANKING:
        needs.append(f"at least {SEEDS_FOR_A_RANKING} seeds (here {seeds})")
    if steps < 2:
        needs.append(f"several step counts (here {steps or 'none is known'})")
    if needs:
        return f"Nothing here ranks the methods: that would need {listed(needs)}."
    if not any(pair.significant for pair in pairs):
        return "Nothing here ranks the methods: no test separates two of them."
    return (
        f"Every variant had the same tuning budget, {seeds} seeds and several step counts; what a"
        " test separates is so for this corpus and these towers."
    )


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
