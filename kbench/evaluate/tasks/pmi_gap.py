"""The gap between a run's logits and the pointwise mutual information, on the embedded world's fresh pairs."""

import numpy as np
import torch
from scipy import stats

from kbench import objective
from kbench.evaluate.run import TrainedRun
from kbench.evaluate.spectrum import spectrum
from kbench.evaluate.store import Reader
from kbench.evaluate.tasks.outcome import Outcome, over_draws, random_feature_settings
from kbench.experiment.schema import Evaluation
from kbench.world import World

BATCH_SIZE = 256
"""Pairs a loss is taken over; InfoNCE depends on it, so that it is part of the figure."""

SPECTRUM_PAIRS = 1024
"""Pairs whose images and captions make up the tables of scores that are compared by their singular values."""


@torch.inference_mode()
def score(run: TrainedRun, features: Reader, evaluation: Evaluation, main_metric: str) -> Outcome:
    """Compare the run's logits with PMI, as far as its objective can see.

    excess_loss: symmetric InfoNCE at batch 256 of what the logits say PMI is, minus that of PMI itself on the same
    batches, nats; no score does better than PMI in expectation. pearson and spearman: correlation over joint pairs.
    """
    scenes = np.asarray(features.array("test/scenes"))
    captions = np.asarray(features.array("test/caption_indices"))
    pmi = torch.from_numpy(World().pmi)
    draws = next(shape[1] for name, shape in features.shapes.items() if name.startswith("test/captions/"))
    batches = [slice(start, start + BATCH_SIZE) for start in range(0, len(scenes) - BATCH_SIZE + 1, BATCH_SIZE)]
    batches = batches or [slice(0, len(scenes))]
    optimal = [pmi[scenes[batch]][:, captions[batch]] for batch in batches]
    learned = [_learned_pmi(run, features, batches, draw) for draw in range(draws)]
    floor = _loss(optimal)
    joint = np.concatenate([block.diagonal().numpy() for block in optimal])
    diagonals = [np.concatenate([block.diagonal().numpy() for block in blocks]) for blocks in learned]
    return Outcome(
        n_test=len(joint),
        metrics=[
            over_draws(
                "excess_loss",
                [_loss(blocks) - floor for blocks in learned],
                main_metric,
                unit="nats",
                higher_is_better=False,
            ),
            over_draws(
                "pearson",
                [_correlation(stats.pearsonr, d, joint) for d in diagonals],
                main_metric,
                unit="correlation",
            ),
            over_draws(
                "spearman",
                [_correlation(stats.spearmanr, d, joint) for d in diagonals],
                main_metric,
                unit="correlation",
            ),
        ],
        settings={
            "batch_size": len(optimal[0]),
            "batches": len(optimal),
            "loss_of_pmi": floor,
            **random_feature_settings(run, evaluation),
        },
        arrays={"logits": diagonals[0], "pmi": joint, **_spectra(run, features, pmi, scenes, captions)},
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
    trained = objective.create(run.config.objective)
    blocks = []
    for batch in batches:
        scores = run.similarity.compare(
            {key: rows[batch] for key, rows in images.items()},
            {key: rows[batch] for key, rows in captions.items()},
        )
        logits = run.similarity.logit_scale().double() * scores.double()
        blocks.append(trained.to_pmi(logits, run.config.training.batch_size))
    return blocks


def _loss(blocks: list[torch.Tensor]) -> float:
    infonce = objective.create("infonce")
    return float(np.mean([float(infonce(block)) for block in blocks]))


def _correlation(measure, ours: np.ndarray, theirs: np.ndarray) -> float | None:  # noqa: ANN001
    if np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return None
    return float(measure(ours, theirs).statistic)
