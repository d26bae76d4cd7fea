"""Spectra of the similarities beside that of PMI: what the figure draws, and a table of what it shows."""

from dataclasses import dataclass

import numpy as np

from kbench.report.analysis import Analysis
from kbench.report.parts import Cell, Table, variant
from kbench.results import samples
from kbench.results.text import number

LEADING = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Spectra:
    """Singular values of the logits and of PMI on the same pairs, descending, nats."""

    logits: np.ndarray
    pmi: np.ndarray


def stored(analysis: Analysis) -> dict[str, Spectra]:
    """Return the spectra of each group at its first seed that has them."""
    found: dict[str, Spectra] = {}
    for result in analysis.store.results:
        path = analysis.store.arrays(result)
        group = analysis.groups[result.run]
        if result.task == "pmi_gap" and path and group not in found:
            arrays = samples.read(path, ("singular_values", "pmi_singular_values"))
            if len(arrays) == 2:
                found[group] = Spectra(arrays["singular_values"], arrays["pmi_singular_values"])
    return found


def table(analysis: Analysis) -> Table | None:
    """Return effective ranks and some singular values of every variant and of PMI; None without stored ones."""
    found = stored(analysis)
    if not found:
        return None
    exact = next(iter(found.values())).pmi
    shown = [index for index in LEADING if index <= len(exact)]
    named = {"PMI": exact, **{group: spectra.logits for group, spectra in found.items()}}
    rows = [
        [
            variant(name) if name in found else Cell(name),
            _effective_rank(values),
            *(Cell(number(v, "nats"), float(v)) for v in (values[i - 1] for i in shown)),
        ]
        for name, values in named.items()
    ]
    header = ["Variant", "Effective rank", *(f"No. {index}, nats" for index in shown)]
    note = (
        "Singular values of the table of logits, or of PMI, its mean taken out, over the number of pairs. Effective "
        "rank: exponential of the entropy of the singular values as shares (Roy and Vetterli, 2007)."
    )
    return Table("spectrum", "Spectrum of the logits beside that of PMI", header, rows, [note])


def _effective_rank(values: np.ndarray) -> Cell:
    shares = values[values > 0] / values.sum()
    rank = float(np.exp(-(shares * np.log(shares)).sum()))
    return Cell(f"{rank:.1f}", rank)
