"""Whether a run's similarity prefers an image's caption to others that nearly fit."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from kbench.tasks.base import Arrays, Measure, Outcome, Task, random_feature_settings

if TYPE_CHECKING:
    import torch

    from kbench.datasets.dataset import Dataset
    from kbench.evaluate.run import TrainedRun
    from kbench.evaluate.store import Reader
    from kbench.experiment.schema import Evaluation

IMAGES = 16
"""Scored at once with the captions of all of them, of which each needs its own alone."""


def _chance(dataset: Dataset) -> float | None:
    known = dataset.n_test is not None and dataset.n_captions is not None
    return dataset.n_test / dataset.n_captions if known else None


def _preferred(kept: Arrays) -> np.ndarray:
    """Return the share of draws in which each image's own caption scores highest, (N,)."""
    return np.atleast_2d(kept["preferred"]).mean(axis=0)


class ImageCaptionSelection(Task):
    """The share of images whose first caption scores higher than all others of the same image.

    CLIP_benchmark's text_acc (its task image_caption_selection) of an image and several captions,
    SugarCrepe's accuracy (arXiv 2306.14610). A tie counts against the caption; the settings say
    how often there is one. Kept: preferred (draws, N), 1 where the first caption is ahead.
    """

    name = "image_caption_selection"
    title = "choice of captions"
    kinds = ("image_caption_selection",)
    metrics = (
        Measure(
            "text_acc",
            "accuracy among an image's captions",
            share_of_samples=True,
            chance=_chance,
            samples=_preferred,
            needs=frozenset({"preferred"}),
        ),
    )
    obeys = ("random_features",)
    place = 35

    def score(
        self, run: TrainedRun, features: Reader, evaluation: Evaluation, *, device: str
    ) -> Outcome:
        """Score each image with its own captions, once a draw."""
        draws = range(features.draws("test/captions"))
        leads = np.stack([_leads(run, features, draw, device) for draw in draws])
        return Outcome(
            n_test=leads.shape[1],
            values={"text_acc": [float(np.mean(of_draw > 0)) for of_draw in leads]},
            settings={
                "text_acc_tied": float(np.mean(leads == 0)),
                **random_feature_settings(run, evaluation),
            },
            arrays={"preferred": (leads > 0).astype(np.uint8)},
        )


def _leads(run: TrainedRun, features: Reader, draw: int, device: str) -> np.ndarray:
    """Return by how much each image's first caption scores higher than the best other one, (N,).

    As in retrieval, inner products are computed in float64 and rounded to float32.
    """
    import torch

    similarity = copy.deepcopy(run.similarity).to(device)
    images, captions = (
        features.representation(f"test/{side}", draw) for side in ("images", "captions")
    )
    number = len(next(iter(images.values())))
    choices = len(next(iter(captions.values()))) // number
    leads = []
    for start in range(0, number, IMAGES):
        stop = min(start + IMAGES, number)
        scores = similarity.compare(
            _rows(images, start, stop, device),
            _rows(captions, start * choices, stop * choices, device),
        ).float()
        own = scores.view(stop - start, stop - start, choices).diagonal().T
        leads.append(own[:, 0] - own[:, 1:].amax(dim=1))
    return torch.cat(leads).cpu().numpy()


def _rows(
    represented: dict[str, torch.Tensor], start: int, stop: int, device: str
) -> dict[str, torch.Tensor]:
    import torch

    dtype = torch.float64 if "features" in represented else torch.float32
    return {key: rows[start:stop].to(device, dtype) for key, rows in represented.items()}
