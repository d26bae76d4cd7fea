"""What sets a variant's numbers apart from the others' although it does not show in them: fewer
seeds, another number of steps, a setting at the edge of its grid, learning without other pairs.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from kbench import objective
from kbench.records.documents import TuningRecord
from kbench.results.store import Store
from kbench.results.summary import Scores

GENERATIVE = (
    "a generative model, which learned without setting pairs against others: scores are"
    " log p(text given image) less the logarithm of its mean over images, and classes are scored by"
    " the likelihood of their prompts"
)
"""Where there are models of the other kind beside it."""


def of(store: Store, scores: Scores, groups: Mapping[str, str]) -> dict[str, list[str]]:
    """Return what is to be said of each group of runs, half a sentence each; only those of which
    there is something.

    groups: run -> name of its group.
    """
    runs: dict[str, list[str]] = {group: [] for group in scores.groups}
    for run in store.experiment.runs:
        if run in groups:
            runs[groups[run]].append(run)
    steps = {group: _steps(store, members) for group, members in runs.items()}
    usual = _usual(steps)
    grid = (store.experiment.experiment.get("tuning") or {}).get("grid", {})
    generative = {group for group, members in runs.items() if _generative(store, members)}
    apart = generative if len(generative) < len(runs) else set()
    said = {
        group: [
            *_seeds(scores, group, len(members)),
            *_other_steps(steps[group], usual),
            *_edges(store.tuning, _label(store, members), grid),
            *([GENERATIVE] if group in apart else []),
        ]
        for group, members in runs.items()
    }
    return {group: sentences for group, sentences in said.items() if sentences}


def _label(store: Store, runs: Sequence[str]) -> str | None:
    """Return what the experiment calls the variant of these runs; None before one is configured."""
    return next((store.config(run).get("variant") for run in runs), None)


def _seeds(scores: Scores, group: str, asked: int) -> list[str]:
    """Return how many of the seeds are there, if some are missing in a task that has others."""
    present = [scores.average(group, scores.columns(task)).n for task in scores.tasks]
    fewest = min((number for number in present if number), default=asked)
    return [f"{fewest} of {asked} seeds"] if fewest < asked else []


def _steps(store: Store, runs: Sequence[str]) -> list[int]:
    """Return the numbers of steps that trained runs have taken, each once."""
    cards = [store.cards[run] for run in runs if run in store.cards]
    return sorted({card.steps for card in cards if card.imported is None})


def _usual(steps: Mapping[str, Sequence[int]]) -> int | None:
    """Return the number of steps that most groups have taken, the larger one if two are as
    frequent; None without a trained run.
    """
    counts = Counter(number for taken in steps.values() for number in taken)
    return max(counts, key=lambda number: (counts[number], number), default=None)


def _other_steps(taken: Sequence[int], usual: int | None) -> list[str]:
    if set(taken) <= {usual}:
        return []
    return [f"{' and '.join(f'{number:,}' for number in taken)} steps, others {usual:,}"]


def _generative(store: Store, runs: Sequence[str]) -> bool:
    """Return whether runs learn likelihoods, as far as their objective is known here."""
    names = (store.config(run).get("objective") for run in runs)
    name = next((name for name in names if name), None)
    return name in objective.names() and objective.get(name).sees_likelihoods


def _edges(tuning: TuningRecord | None, variant: str | None, grid: Mapping[str, list]) -> list[str]:
    """Return the settings that a search chose at an end of the numbers it tried."""
    search = tuning.variants.get(variant) if tuning else None
    chosen = search.chosen if search else {}
    tried = {name: values for name, values in grid.items() if _numbers(values) and name in chosen}
    ends = {name: (min(values), max(values)) for name, values in tried.items()}
    return [
        f"{name} {chosen[name]:g} is the {'smallest' if chosen[name] == least else 'largest'} tried"
        for name, (least, most) in ends.items()
        if least < most and chosen[name] in (least, most)
    ]


def _numbers(values: Sequence[object]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
