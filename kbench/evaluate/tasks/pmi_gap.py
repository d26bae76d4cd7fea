"""The gap between a run's logits and the pointwise mutual information, on the embedded world's fresh pairs."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats

from kbench import objective
from kbench.evaluate.run import TrainedRun
from kbench.evaluate.spectrum import spectrum
from kbench.evaluate.store import Reader
from kbench.evaluate.tasks.outcome import Outcome, over_draws, random_feature_settings
from kbench.experiment.schema import Evaluation
from kbench.results.schema import Metric
from kbench.world import World

OBEYS = ("random_features",)
"""Evaluation settings that decide the result."""

BATCH_SIZE = 256
"""Pairs a loss is taken over; InfoNCE depends on it, so that it is part of the figure."""

SPECTRUM_PAIRS = 1024
"""Pairs whose images and captions make up the tables of scores that are compared by their singular values."""


@dataclass(frozen=True)
class Gap:
    """How far what the logits say PMI is, is from PMI.

    excess_losses: symmetric InfoNCE of each batch above that of PMI, nats. rmse, pearson, spearman: over joint pairs,
    null where one side is constant; estimates (pairs,), in which a constant that the objective cannot see is chosen so
    that the mean is that of PMI.
    """

    excess_losses: np.ndarray
    rmse: float
    pearson: float | None
    spearman: float | None
    estimates: np.ndarray


@torch.inference_mode()
def score(run: TrainedRun, features: Reader, evaluation: Evaluation, main_metric: str) -> Outcome:
    """Compare the run's logits with PMI, as far as its objective can see.

    excess_loss: symmetric InfoNCE at batch 256 of what the logits say PMI is, minus that of PMI itself on the same
    batches, nats; no score does better than PMI in expectation. rmse (nats), pearson and spearman: over joint pairs,
    because InfoNCE hardly constrains the many unrelated pairs. Kept: excess_losses (draws, batches), and logits and
    pmi (pairs,) at the first random-feature draw.
    """
    scenes = np.asarray(features.array("test/scenes"))
    captions = np.asarray(features.array("test/caption_indices"))
    pmi = torch.from_numpy(World().pmi)
    draws = next(shape[1] for name, shape in features.shapes.items() if name.startswith("test/captions/"))
    batches = [slice(start, start + BATCH_SIZE) for start in range(0, len(scenes) - BATCH_SIZE + 1, BATCH_SIZE)]
    batches = batches or [slice(0, len(scenes))]
    optimal = [pmi[scenes[batch]][:, captions[batch]] for batch in batches]
    gaps = [
        gap(_learned_pmi(run, features, batches, draw), optimal, run.objective.blind_to_shift) for draw in range(draws)
    ]
    joint = _pairs(optimal)

    def metric(name: str, values: list[float | None], unit: str, higher_is_better: bool) -> Metric:
        return over_draws(name, values, main_metric, unit=unit, higher_is_better=higher_is_better)

    return Outcome(
        n_test=len(joint),
        metrics=[
            metric("excess_loss", [float(gap.excess_losses.mean()) for gap in gaps], "nats", False),
            metric("rmse", [gap.rmse for gap in gaps], "nats", False),
            metric("pearson", [gap.pearson for gap in gaps], "correlation", True),
            metric("spearman", [gap.spearman for gap in gaps], "correlation", True),
        ],
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


def gap(learned: list[torch.Tensor], optimal: list[torch.Tensor], blind_to_shift: bool) -> Gap:
    """Compare estimates of PMI with PMI itself, both in blocks (B, B) whose diagonals are the joint pairs.

    blind_to_shift: the objective cannot see an additive constant, so that none counts; all else does.
    """
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
    """Return the singular values of what the logits say PMI is and of PMI itself, on the first pairs, first draw."""
    first = slice(0, SPECTRUM_PAIRS)
    [learned] = _learned_pmi(run, features, [first], 0)
    exact = pmi[scenes[first]][:, captions[first]]
    return {"singular_values": spectrum(learned).numpy(), "pmi_singular_values": spectrum(exact).numpy()}


def _learned_pmi(run: TrainedRun, features: Reader, batches: list[slice], draw: int) -> list[torch.Tensor]:
    images, captions = (
        features.representation("test/images", draw),
        features.representation("test/captions", draw),
    )
    blocks = []
    for batch in batches:
        scores = run.similarity.compare(
            {key: rows[batch] for key, rows in images.items()},
            {key: rows[batch] for key, rows in captions.items()},
        )
        logits = run.similarity.logit_scale().double() * scores.double()
        blocks.append(run.objective.to_pmi(logits, run.config.training.batch_size))
    return blocks


def _losses(blocks: list[torch.Tensor]) -> np.ndarray:
    infonce = objective.create("infonce")
    return np.array([float(infonce(block)) for block in blocks])


def _pairs(blocks: list[torch.Tensor]) -> np.ndarray:
    return np.concatenate([block.diagonal().numpy() for block in blocks])


def _correlation(measure, ours: np.ndarray, theirs: np.ndarray) -> float | None:  # noqa: ANN001
    if np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return None
    return float(measure(ours, theirs).statistic)
