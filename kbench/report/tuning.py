"""How settings were chosen: the chosen ones and the whole search."""

from kbench.document.numbers import number
from kbench.document.parts import Cell, ReportSection, Table
from kbench.records.documents import TrialRecord
from kbench.report.analysis import Analysis
from kbench.report.answer import listed


def section(analysis: Analysis) -> ReportSection | None:
    """Return the chosen settings and the whole search; None if there was none."""
    tuning = analysis.store.tuning
    if not tuning:
        return None
    grid = (analysis.store.experiment.experiment.get("tuning") or {}).get("grid", {})
    tried = "; ".join(f"{name} {', '.join(map(_shown, values))}" for name, values in grid.items())
    return ReportSection(
        "tuning",
        "Settings",
        [
            f"Chosen by {tuning.rule}, the lowest{_over_seeds(analysis)}, never by a reported set;"
            f" grid: {tried}.",
            budget(analysis),
            *_edges(analysis, grid),
        ],
        [],
        [_chosen(analysis)],
        [_search(analysis)],
    )


def _over_seeds(analysis: Analysis) -> str:
    """Return over how many seeds of the search a loss is a mean, if over several."""
    seeds = (analysis.store.experiment.experiment.get("tuning") or {}).get("seeds", 1)
    return f" mean over {seeds} seeds" if seeds > 1 else ""


def budget(analysis: Analysis) -> str:
    """Return whether every variant had the same number of trials, in a sentence."""
    trials = sorted(analysis.store.tuning.trials)
    if len(trials) == 1:
        return f"The budget was the same, {trials[0]} settings a variant."
    return (
        f"The budgets differ, {trials[0]} to {trials[-1]} settings a variant: the search is not"
        " fair."
    )


def _edges(analysis: Analysis, grid: dict[str, list]) -> list[str]:
    """Return a sentence on the variants that chose the smallest or the largest value of a number
    searched for.
    """
    sentences = []
    for name, values in grid.items():
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            for edge, word in ((min(values), "smallest"), (max(values), "largest")):
                at = [
                    v
                    for v, search in analysis.store.tuning.variants.items()
                    if search.chosen.get(name) == edge
                ]
                if at and len(values) > 1:
                    sentences.append(
                        f"{listed(at)} chose the {word} {name}, {_shown(edge)}: the best may lie"
                        " beyond the grid."
                    )
    return sentences


def _chosen(analysis: Analysis) -> Table:
    tuning = analysis.store.tuning
    names = list(
        dict.fromkeys(name for search in tuning.variants.values() for name in search.chosen)
    )
    rows = [
        [
            Cell(label),
            *(_value(search.chosen.get(name)) for name in names),
            Cell(str(len(search.tried)), len(search.tried)),
        ]
        for label, search in tuning.variants.items()
    ]
    return Table("tuning-chosen", "Chosen settings", ["Variant", *names, "Settings tried"], rows)


def _search(analysis: Analysis) -> Table:
    tuning = analysis.store.tuning
    trials = [trial for search in tuning.variants.values() for trial in search.tried]
    names = list(dict.fromkeys(name for trial in trials for name in trial.values))
    rows = [
        [
            Cell(label),
            Cell(trial.run),
            *(_value(trial.values.get(name)) for name in names),
            _loss(trial, search.chosen),
        ]
        for label, search in tuning.variants.items()
        for trial in search.tried
    ]
    caption = (
        f"The whole search: {len(rows)} settings. Held-out loss in nats; bold: the chosen one;"
        " failed: the training diverged"
    )
    return Table(
        "tuning-search",
        caption,
        ["Variant", "Run", *names, "Held-out loss"],
        rows,
        [],
        2,
        searchable=True,
    )


def _loss(trial: TrialRecord, chosen: dict) -> Cell:
    if trial.held_out_loss is None:
        return Cell("failed")
    return Cell(
        number(trial.held_out_loss, "nats"), trial.held_out_loss, best=trial.values == chosen
    )


def _value(value: object) -> Cell:
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell("–") if value is None else Cell(_shown(value), float(value) if numeric else None)


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
