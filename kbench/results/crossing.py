"""How much of the spread between trainings is due to one source of their randomness: seeds of that
source crossed with seeds of all others.

An experiment fixes a source's seed in several variants that are otherwise the same, and trains each
at the same seeds. The scores y[a, s] are a two-way random design without repetition,
    y = mean + source[a] + others[s] + both[a, s],
whose components are estimated by the analysis of variance (Searle, Casella and McCulloch, Variance
Components, 1992). The interval of a component, a difference of two mean squares, is that of Ting,
Burdick, Graybill, Jeyaratnam and Lu (J. Stat. Comput. Simul. 35, 1990), which ends at 0 where the F
test does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from kbench.files import canonical_hash
from kbench.results.store import Store
from kbench.results.variance import Spread

TAIL = 0.025
"""On either side of an interval."""

LABELS = {"variant", "seed", "fixed_seeds", "search"}
"""Keys of a run's configuration in which the runs of a crossing may differ."""


TUNED = ("training", "similarity_settings")
"""Sections with the settings that a search chooses, in which its runs differ, too."""


@dataclass(frozen=True)
class Crossing:
    """Groups that are the same but for the fixed seed of one source: its seeds -> group."""

    source: str
    groups: dict[int, str]


def crossings(store: Store, groups: Mapping[str, str]) -> Iterator[Crossing]:
    """Yield what an experiment has crossed; `groups` maps each run to the name of its group."""
    crossed: dict[tuple[str, str], dict[int, str]] = {}
    tuning = store.experiment.experiment.get("tuning") or {}
    tuned = set(tuning.get("grid", {}))
    for run, group in groups.items():
        config = store.config(run)
        fixed = config.get("fixed_seeds", {})
        if len(fixed) == 1:
            [(source, seed)] = fixed.items()
            rest = _without(config, LABELS)
            if source == "tuning":
                rest |= {key: _without(config[key], tuned) for key in TUNED if config.get(key)}
            crossed.setdefault((source, canonical_hash(rest)), {})[seed] = group
    for (source, _), by_seed in crossed.items():
        if len(by_seed) > 1:
            yield Crossing(source, dict(sorted(by_seed.items())))


def _without(values: Mapping, keys: Collection[str]) -> dict:
    return {key: value for key, value in values.items() if key not in keys}


def components(scores: np.ndarray) -> tuple[Spread, Spread, Spread]:
    """Return the standard deviations that scores (A, S), at A seeds of a source and S of all
    others, owe to the source, to the others, and to both together.

    With the last is counted what is neither's alone; A and S are 2 or more.
    """
    sources, others = scores.shape
    of_source, of_others = scores.mean(axis=1), scores.mean(axis=0)
    rest = scores - of_source[:, None] - of_others + scores.mean()
    freedom = (sources - 1) * (others - 1)
    residual = float((rest**2).sum()) / freedom
    squares = ((of_source, others, sources - 1), (of_others, sources, others - 1))
    first, second = (
        _component(n * float(means.var(ddof=1)), residual, n, (degrees, freedom))
        for means, n, degrees in squares
    )
    ends = (residual / quantile(freedom) for quantile in (_upper, _lower))
    return first, second, Spread(*(x**0.5 for x in (residual, *ends)))


def _component(large: float, small: float, n: int, degrees: tuple[int, int]) -> Spread:
    """Return the root of (large - small) / n, mean squares with these degrees of freedom."""
    ends = _interval(large, small, degrees)
    return Spread(*(max(0.0, x / n) ** 0.5 for x in (large - small, *ends)))


def _interval(first: float, second: float, degrees: tuple[int, int]) -> tuple[float, float]:
    """Return the interval of the difference of two mean squares' expectations."""
    own = [(_upper(n), _lower(n)) for n in degrees]
    above, below = (float(special.fdtri(*degrees, tail)) for tail in (1 - TAIL, TAIL))
    g1, h1 = 1 - 1 / own[0][0], 1 / own[0][1] - 1
    g2, h2 = 1 - 1 / own[1][0], 1 / own[1][1] - 1
    mixed_low = ((above - 1) ** 2 - (g1 * above) ** 2 - h2**2) / above
    mixed_high = ((1 - below) ** 2 - (h1 * below) ** 2 - g2**2) / below
    down = (g1 * first) ** 2 + (h2 * second) ** 2 + mixed_low * first * second
    up = (h1 * first) ** 2 + (g2 * second) ** 2 + mixed_high * first * second
    value = first - second
    return value - float(np.sqrt(max(0.0, down))), value + float(np.sqrt(max(0.0, up)))


def _upper(degrees: int) -> float:
    """Return the quantile of a mean square about 1 that leaves out the upper tail."""
    return float(special.chdtri(degrees, TAIL)) / degrees


def _lower(degrees: int) -> float:
    """Return the quantile that leaves out the lower tail."""
    return float(special.chdtri(degrees, 1 - TAIL)) / degrees
