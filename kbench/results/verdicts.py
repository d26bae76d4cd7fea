"""Our numbers beside published ones: reproduced, higher, lower, inconclusive, or why they must not
be compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kbench.records.documents import PublishedRow, TaskResult
from kbench.results import matching, published, reproduction
from kbench.results.matching import Setting
from kbench.results.pairs import holm
from kbench.results.store import Store

NOT_COMPARABLE = "not comparable"
INCONCLUSIVE = "inconclusive"
MARGIN = 1.0
"""Points; of experiments that were resolved before they could declare one."""


@dataclass(frozen=True)
class Verdict:
    """A published row, what is ours for the same cell, and what is to be said of the two, in the
    row's unit.
    """

    row: PublishedRow
    status: (
        str  # reproduced, higher, lower, inconclusive, not comparable, published value not imported
    )
    reasons: tuple[str, ...] = ()  # why not comparable
    caveats: tuple[str, ...] = ()  # what the interval does not cover
    ours: float | None = None
    seeds: int = 0
    difference: float | None = None  # ours - theirs
    low: float | None = None  # 95 % interval; None with one seed
    high: float | None = None
    p_holm: float | None = (
        None  # of no difference, Holm-corrected over the comparable cells of the table
    )


@dataclass(frozen=True)
class _Measured:
    """The results of one setting: the same in all but the seed."""

    setting: Setting
    results: tuple[TaskResult, ...]

    def values(self, metric: str) -> np.ndarray:
        """Return the (S,) values of a metric in its published unit."""
        entries = (entry for result in self.results for entry in result.metrics)
        scores = (entry for entry in entries if entry.name == metric)
        return np.array(
            [(100 if m.unit == "fraction" else 1) * m.value for m in scores if m.value is not None]
        )


@dataclass(frozen=True)
class _Spread:
    """What the difference of a verdict is judged by."""

    seeds: int
    runs: float  # variance of the difference due to trainings
    images: float  # and due to test images
    margin: float


def verdicts(store: Store, rows: list[PublishedRow]) -> list[Verdict]:
    """Return one verdict for each published row about a method, or about weights that are scored
    here; Holm's correction is over the comparable cells of each table.
    """
    measured = _measured(store)
    rows = matching.about([entry.setting for entry in measured], rows)
    margin = store.experiment.experiment.get("margin", MARGIN)
    joined = [_joined(measured, row, len(store.experiment.seeds), margin) for row in rows]
    spreads = [_spread(nearest, verdict, margin) for nearest, verdict in joined]
    p_values = _corrected([verdict for _, verdict in joined], spreads)
    return [
        verdict if spread is None else _judged(verdict, spread, p)
        for (_, verdict), spread, p in zip(joined, spreads, p_values, strict=True)
    ]


def _measured(store: Store) -> list[_Measured]:
    configs = {run: store.config(run) for run in {result.run for result in store.results}}
    groups: dict[Setting, list[TaskResult]] = {}
    sources = _sources(store)
    for result in store.results:
        setting = matching.of_result(result, configs[result.run], sources.get(result.variant))
        groups.setdefault(setting, []).append(result)
    return [_Measured(setting, tuple(results)) for setting, results in groups.items()]


def _sources(store: Store) -> dict[str, str]:
    """Return where the weights of each imported model are from that is scored as it was trained."""
    entries = store.experiment.experiment.get("models", ())
    as_trained = {entry["name"] for entry in entries if not entry.get("similarity")}
    imported = [card for card in store.cards.values() if card.imported]
    return {card.variant: card.imported.source for card in imported if card.variant in as_trained}


def _joined(
    measured: Sequence[_Measured], row: PublishedRow, asked: int, margin: float
) -> tuple[_Measured | None, Verdict]:
    """Return what is nearest to a row, and the verdict as far as no test is needed for it."""
    reasons = matching.reasons([entry.setting for entry in measured], row)
    cell = [entry for entry in measured if matching.same_cell(entry.setting, row)]
    nearest = min(
        cell, key=lambda entry: len(matching.differences(entry.setting, row)), default=None
    )
    values = nearest.values(row.metric) if nearest else np.array([])
    ours = float(values.mean()) if values.size else None
    if reasons or ours is None:
        return nearest, Verdict(
            row, NOT_COMPARABLE, reasons or ("not measured yet",), (), ours, values.size
        )
    verdict = Verdict(
        row,
        published.NOT_IMPORTED,
        (),
        _caveats(nearest, row, values.size, asked),
        ours,
        values.size,
    )
    if row.value is None:
        return nearest, verdict
    difference, status = ours - row.value, INCONCLUSIVE
    if row.weights:  # nothing varies between two evaluations of them: any difference is real
        status = str(reproduction.outcome(difference, 0.0, abs(difference) <= margin))
    return nearest, replace(verdict, status=status, difference=difference)


def _spread(measured: _Measured | None, verdict: Verdict, margin: float) -> _Spread | None:
    """Return what a difference is judged by; None where there is none, or only one seed."""
    if verdict.difference is None or verdict.seeds < 2 or verdict.row.weights:
        return None
    row, values = verdict.row, measured.values(verdict.row.metric)
    percent = row.unit == "percent"
    n_test = measured.setting.n_test if percent else None
    one_run = float(reproduction.one_run_variance(values, n_test))
    theirs = one_run if row.std is None else row.std**2
    other_images = percent and row.n_test is None
    images = 2 * float(reproduction.image_variance(values, n_test)) if other_images else 0.0
    return _Spread(len(values), one_run / len(values) + theirs, images, margin if percent else 0.0)


def _corrected(
    verdicts: Sequence[Verdict], spreads: Sequence[_Spread | None]
) -> list[float | None]:
    """Return Holm-corrected p-values, table by table; None where nothing is judged."""
    tables: dict[tuple, list[int]] = {}
    for index, (verdict, spread) in enumerate(zip(verdicts, spreads, strict=True)):
        if spread is not None:
            tables.setdefault((verdict.row.source, verdict.row.table), []).append(index)
    corrected: list[float | None] = [None] * len(verdicts)
    for indices in tables.values():
        p_values = [float(_p_value(verdicts[index], spreads[index])) for index in indices]
        for index, p in zip(indices, holm(p_values), strict=True):
            corrected[index] = p
    return corrected


def _p_value(verdict: Verdict, spread: _Spread) -> np.ndarray:
    return reproduction.p_value(verdict.difference, spread.seeds, spread.runs, spread.images)


def _judged(verdict: Verdict, spread: _Spread, p: float) -> Verdict:
    variances = (spread.seeds, spread.runs, spread.images)
    half = float(reproduction.half_width(reproduction.LEVEL, *variances))
    equivalent = reproduction.reproduced(verdict.difference, spread.margin, *variances)
    status = str(reproduction.outcome(verdict.difference, p, equivalent))
    return replace(
        verdict,
        status=status,
        low=verdict.difference - half,
        high=verdict.difference + half,
        p_holm=p,
    )


def _caveats(measured: _Measured, row: PublishedRow, seeds: int, asked: int) -> tuple[str, ...]:
    caveats = matching.caveats(measured.setting, row)
    if row.weights:
        return (*caveats, "the same weights: only the margin decides")
    if seeds < asked:
        caveats.append(f"{seeds} of {asked} seeds present")
    if seeds == 1:
        caveats.append("one seed: the variation between trainings is unknown")
    if row.std is None:
        caveats.append("no published sd: theirs is taken to be ours")
    if row.unit != "percent":
        caveats.append(
            "no margin is declared for this unit; the choice of test samples is not covered"
        )
    return tuple(caveats)
