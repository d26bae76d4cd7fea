"""The gap between a run's logits and the pointwise mutual information, on the embedded world's
fresh pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kbench.document.numbers import number
from kbench.document.parts import Cell, Table, variant
from kbench.tasks.base import (
    Arrays,
    Curves,
    Measure,
    Outcome,
    Part,
    Scatter,
    Task,
    random_feature_settings,
)

if TYPE_CHECKING:
    import torch

    from kbench.evaluate.run import TrainedRun
    from kbench.evaluate.store import Reader
    from kbench.experiment.schema import Evaluation

BATCH_SIZE = 256
"""Pairs a loss is taken over; InfoNCE depends on it, so that it is part of the figure."""

SPECTRUM_PAIRS = 1024
"""Pairs whose images and captions make up the tables of scores that are compared by their singular
values.
"""

SCATTERED = 250
"""Points in a scatter plot; more would make the page heavy without telling more."""

LEADING = (1, 2, 4, 8, 16, 32, 64)
"""Singular values that the table of spectra names."""


@dataclass(frozen=True)
class Gap:
    """How far what the logits say PMI is, is from PMI.

    excess_losses: symmetric InfoNCE of each batch above that of PMI, nats. rmse, pearson, spearman:
    over joint pairs, null where one side is constant; estimates (pairs,), in which a constant that
    the objective cannot see is chosen so that the mean is that of PMI.
    """

    excess_losses: np.ndarray
    rmse: float
    pearson: float | None
    spearman: float | None
    estimates: np.ndarray


class PmiGap(Task):
    """Compare the run's logits with PMI, as far as its objective can see.

    excess_loss: symmetric InfoNCE at batch 256 of what the logits say PMI is, minus that of PMI
    itself on the same batches, nats; no score does better than PMI in expectation. rmse (nats),
    pearson and spearman: over joint pairs, because InfoNCE hardly constrains the many unrelated
    pairs. Kept: excess_losses (draws, batches), and logits and pmi (pairs,) at the first
    random-feature draw.
    """

    name = "pmi_gap"
    title = "PMI gap"
    kinds = ("pairs",)
    metrics = (
        Measure(
            "excess_loss",
            "excess loss",
            "nats",
            higher_is_better=False,
            samples=lambda kept: np.atleast_2d(kept["excess_losses"]).mean(axis=0),
            needs=frozenset({"excess_losses"}),
            in_batches=True,
            least=0.0,
        ),
        Measure("rmse", "RMSE", "nats", higher_is_better=False),
        Measure("pearson", "Pearson correlation", "correlation"),
        Measure("spearman", "Spearman correlation", "correlation"),
    )
    obeys = ("random_features",)
    place = 40
    section = "Gap to the optimum"
    about = (
        (
            "On the embedded world the pointwise mutual information (PMI) of an image and a caption"
            " is known exactly: no similarity has a lower contrastive loss. Excess loss is a"
            " variant's symmetric InfoNCE minus PMI's on fresh pairs; the correlations are between"
            " logits and PMI over joint pairs."
        ),
    )
    figure = "Loss above that of the exact PMI"
    every_metric = True
    interval = True
    gap = True
    pairs_shown = True
    keeps = ("logits", "pmi", "singular_values", "pmi_singular_values")

    def score(
        self, run: TrainedRun, features: Reader, evaluation: Evaluation, *, device: str
    ) -> Outcome:
        """Compare once a draw."""
        import torch

        from kbench.world.stored import world_of

        scenes = np.asarray(features.array("test/scenes"))
        captions = np.asarray(features.array("test/caption_indices"))
        pmi = torch.from_numpy(world_of(features).pmi)
        batches = [
            slice(start, start + BATCH_SIZE)
            for start in range(0, len(scenes) - BATCH_SIZE + 1, BATCH_SIZE)
        ]
        batches = batches or [slice(0, len(scenes))]
        optimal = [pmi[scenes[batch]][:, captions[batch]] for batch in batches]
        gaps = [
            gap(learned_pmi(run, features, batches, draw), optimal, run.objective.blind_to_shift)
            for draw in range(features.draws("test/captions"))
        ]
        joint = _pairs(optimal)
        return Outcome(
            n_test=len(joint),
            values={
                "excess_loss": [float(gap.excess_losses.mean()) for gap in gaps],
                "rmse": [gap.rmse for gap in gaps],
                "pearson": [gap.pearson for gap in gaps],
                "spearman": [gap.spearman for gap in gaps],
            },
            settings={
                "batch_size": len(optimal[0]),
                "batches": len(optimal),
                "loss_of_pmi": float(np.mean(_losses(optimal))),
                "constant_removed": run.objective.blind_to_shift,
                **random_feature_settings(run, evaluation),
            },
            arrays={
                "excess_losses": np.stack([gap.excess_losses for gap in gaps]),
                "logits": gaps[0].estimates,
                "pmi": joint,
                **_spectra(run, features, pmi, scenes, captions),
            },
        )

    def verdict(self, best: str, average: str) -> str:
        """Return who is nearest to the optimum."""
        return (
            f"nearest to the optimal similarity is {best}, whose loss exceeds that of the pointwise"
            f" mutual information by {average}"
        )

    def floors(self, corpus: Mapping[str, Any]) -> dict[str, dict[int, float]]:
        """Return what free vectors reached without towers, in forms of score of bounded rank."""
        from kbench.world import Family
        from kbench.world.floors import by_dimension

        family = Family(**{key: corpus[key] for key in Family._fields if key in corpus})
        return {
            "any inner product": by_dimension("wpse-linear", family),
            "any cosine": by_dimension("cosine", family),
        }

    def part(self, kept: Mapping[str, Arrays]) -> Part:
        """Return logits against PMI, and the spectra of both."""
        figures = [figure for figure in (_scatter(kept), _curves(kept)) if figure]
        return Part(figures, [table for table in [_table(kept)] if table])


def gap(learned: list[torch.Tensor], optimal: list[torch.Tensor], blind_to_shift: bool) -> Gap:
    """Compare estimates of PMI with PMI itself, both in blocks (B, B) whose diagonals are the joint
    pairs.

    blind_to_shift: the objective cannot see an additive constant, so that none counts; all else
    does.
    """
    from scipy import stats

    estimates, joint = _pairs(learned), _pairs(optimal)
    if blind_to_shift:
        estimates = estimates + (joint - estimates).mean()
    return Gap(
        excess_losses=_losses(learned) - _losses(optimal),
        rmse=float(np.sqrt(np.mean((estimates - joint) ** 2))),
        pearson=_correlation(stats.pearsonr, estimates, joint),
        spearman=_correlation(stats.spearmanr, estimates, joint),
        estimates=estimates,
    )


def _spectra(
    run: TrainedRun, features: Reader, pmi: torch.Tensor, scenes: np.ndarray, captions: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the singular values of what the logits say PMI is and of PMI itself, on the first
    pairs, first draw.
    """
    from kbench.measures.spectrum import spectrum

    first = slice(0, SPECTRUM_PAIRS)
    [learned] = learned_pmi(run, features, [first], 0)
    exact = pmi[scenes[first]][:, captions[first]]
    return {
        "singular_values": spectrum(learned).numpy(),
        "pmi_singular_values": spectrum(exact).numpy(),
    }


def learned_pmi(
    run: TrainedRun, features: Reader, batches: list[slice], draw: int
) -> list[torch.Tensor]:
    """Return what the logits (B, B) of each batch say PMI is, nats, at one random-feature draw."""
    images, captions = (
        features.representation("test/images", draw),
        features.representation("test/captions", draw),
    )
    return [
        run.estimated_pmi(
            *({key: rows[batch] for key, rows in side.items()} for side in (images, captions))
        )
        for batch in batches
    ]


def _losses(blocks: list[torch.Tensor]) -> np.ndarray:
    from kbench import objective

    infonce = objective.create("infonce")
    return np.array([float(infonce(block)) for block in blocks])


def _pairs(blocks: list[torch.Tensor]) -> np.ndarray:
    return np.concatenate([block.diagonal().numpy() for block in blocks])


def _correlation(measure: Callable, ours: np.ndarray, theirs: np.ndarray) -> float | None:
    if np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return None
    return float(measure(ours, theirs).statistic)


def _scatter(kept: Mapping[str, Arrays]) -> Scatter | None:
    points = {
        group: _first_pairs(arrays["logits"], arrays["pmi"])
        for group, arrays in kept.items()
        if {"logits", "pmi"} <= arrays.keys()
    }
    if not points:
        return None
    return Scatter(
        id="scatter",
        points=points,
        x="PMI, nats",
        y="logit, shifted, nats",
        alternative="Logits against PMI by variant; the table has the correlations.",
        caption=(
            f"Logits against PMI on the first {SCATTERED} joint pairs at each variant's first seed;"
            " the line is equality. Logits are shifted to the same mean: a constant is what the"
            " loss cannot see."
        ),
    )


def _first_pairs(logits: np.ndarray, pmi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (PMI, logits) of some joint pairs, the logits shifted to PMI's mean over all of
    them.
    """
    return pmi[:SCATTERED], (logits - logits.mean() + pmi.mean())[:SCATTERED]


def _spectra_kept(kept: Mapping[str, Arrays]) -> dict[str, Arrays]:
    return {
        group: arrays
        for group, arrays in kept.items()
        if {"singular_values", "pmi_singular_values"} <= arrays.keys()
    }


def _curves(kept: Mapping[str, Arrays]) -> Curves | None:
    spectra = _spectra_kept(kept)
    if not spectra:
        return None
    return Curves(
        id="spectrum",
        reference=("PMI", next(iter(spectra.values()))["pmi_singular_values"]),
        curves={group: arrays["singular_values"] for group, arrays in spectra.items()},
        depth=1e-4,
        x="number of the singular value",
        y="singular value, nats",
        alternative="Singular values of logits and PMI; see the table of spectra.",
        caption=(
            "Singular values of the table of logits of the first pairs' images and captions, and of"
            " the table of PMI: root mean square of the scores along each direction, the mean taken"
            " out, at each variant's first seed."
        ),
    )


def _table(kept: Mapping[str, Arrays]) -> Table | None:
    """Return effective ranks and some singular values of every variant and of PMI; None without
    stored ones.
    """
    spectra = _spectra_kept(kept)
    if not spectra:
        return None
    exact = next(iter(spectra.values()))["pmi_singular_values"]
    shown = [index for index in LEADING if index <= len(exact)]
    named = {
        "PMI": exact,
        **{group: arrays["singular_values"] for group, arrays in spectra.items()},
    }
    rows = [
        [
            variant(name) if name in spectra else Cell(name),
            _effective_rank(values),
            *(Cell(number(v, "nats"), float(v)) for v in (values[i - 1] for i in shown)),
        ]
        for name, values in named.items()
    ]
    header = ["Variant", "Effective rank", *(f"No. {index}, nats" for index in shown)]
    note = (
        "Singular values of the table of logits, or of PMI, its mean taken out, over the number of"
        " pairs. Effective rank: exponential of the entropy of the singular values as shares (Roy"
        " and Vetterli, 2007)."
    )
    return Table("spectrum", "Spectrum of the logits beside that of PMI", header, rows, [note])


def _effective_rank(values: np.ndarray) -> Cell:
    shares = values[values > 0] / values.sum()
    rank = float(np.exp(-(shares * np.log(shares)).sum()))
    return Cell(f"{rank:.1f}", rank)
