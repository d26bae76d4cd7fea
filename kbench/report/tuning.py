"""How settings were chosen: the tables of the search, and the footnotes that say what a comparison rests on."""

from kbench.report.analysis import Analysis
from kbench.report.parts import Cell, Section, Table
from kbench.results.schema import Trial
from kbench.results.text import number

UNTUNED = "No settings were searched for: the variants share one untuned setting."
RULES = {
    "last": "last step",
    "held-out": "lowest loss on a held-out split",
    "test-column": "best on the reported test column, as in the released code: optimistic",
}


def notes(analysis: Analysis) -> list[str]:
    """Return what a table of scores must say: how settings and checkpoints were chosen."""
    return [_settings_note(analysis), *_checkpoint_note(analysis)]


def section(analysis: Analysis) -> Section | None:
    """Return the chosen settings and the whole search; None if there was none."""
    tuning = analysis.store.tuning
    if not tuning:
        return None
    grid = "; ".join(f"{name}: {', '.join(map(_shown, values))}" for name, values in tuning.grid.items())
    return Section(
        "tuning",
        "Settings",
        [f"{tuning.rule} Grid: {grid}.", _budget(analysis)],
        [],
        [_chosen(analysis)],
        [_search(analysis)],
    )


def _settings_note(analysis: Analysis) -> str:
    tuning = analysis.store.tuning
    if not tuning:
        return UNTUNED
    untuned = [name for name in analysis.store.experiment.variants if name not in tuning.variants]
    left = f" Not searched: {', '.join(untuned)}." if untuned else ""
    return f"Settings were searched for on held-out data. {_budget(analysis)}{left}"


def _budget(analysis: Analysis) -> str:
    trials = sorted(analysis.store.tuning.trials)
    if len(trials) == 1:
        return f"The budget was the same, {trials[0]} settings a variant."
    return f"The budgets differ, {trials[0]} to {trials[-1]} settings a variant: the search is not fair."


def _checkpoint_note(analysis: Analysis) -> list[str]:
    """Return by which rule the scored checkpoints were chosen, one phrase a rule."""
    seen = list(dict.fromkeys(result.selection for result in analysis.store.results))
    return [f"Checkpoint scored: {' or '.join(RULES.get(rule, rule) for rule in seen)}."] if seen else []


def _chosen(analysis: Analysis) -> Table:
    tuning = analysis.store.tuning
    names = list(dict.fromkeys(name for search in tuning.variants.values() for name in search.chosen))
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
    names = list(
        dict.fromkeys(n for search in tuning.variants.values() for trial in search.tried for n in trial.values)
    )
    rows = [
        [Cell(label), Cell(trial.run), *(_value(trial.values.get(name)) for name in names), _loss(trial, search.chosen)]
        for label, search in tuning.variants.items()
        for trial in search.tried
    ]
    caption = f"The whole search: {len(rows)} runs. Held-out loss in nats; bold: the chosen setting"
    return Table("tuning-search", caption, ["Variant", "Run", *names, "Held-out loss"], rows, [], 2, searchable=True)


def _loss(trial: Trial, chosen: dict) -> Cell:
    if trial.held_out_loss is None:
        return Cell("failed")
    return Cell(number(trial.held_out_loss, "nats"), trial.held_out_loss, best=trial.values == chosen)


def _value(value: object) -> Cell:
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell("–") if value is None else Cell(_shown(value), float(value) if numeric else None)


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
