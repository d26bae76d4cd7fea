"""Image-to-text and text-to-image retrieval through the run's own similarity."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from kbench.tasks.base import Arrays, Measure, Outcome, Task, random_feature_settings

if TYPE_CHECKING:
    import torch

    from kbench.datasets.dataset import Dataset
    from kbench.evaluate.run import TrainedRun
    from kbench.evaluate.store import Reader
    from kbench.experiment.schema import Evaluation
    from kbench.records.documents import TaskResult

RANKS = (1, 5, 10)
ROWS, COLUMNS = 1024, 4096
"""Most images and captions that are scored at once."""

BLOCK_BYTES = 1 << 26
"""Most bytes of stored features that a block of images or of captions has: 64 MiB."""


def _image_chance(dataset: Dataset, k: int) -> float | None:
    return None if dataset.n_test is None else min(1.0, k / dataset.n_test)


def _captions_found(kept: Arrays, k: int) -> np.ndarray:
    """Return whether each image finds one of its captions, (N,), averaged over draws."""
    return _within(kept["image_to_text_ranks"], k)


def _found_by_captions(kept: Arrays, k: int) -> np.ndarray:
    """Return how many of each image's captions find it, times N / captions: an image's captions are
    one sample.
    """
    images = np.atleast_2d(kept["image_to_text_ranks"]).shape[1]
    within, owners = _within(kept["text_to_image_ranks"], k), kept["caption_images"]
    if owners.shape != within.shape or (len(owners) and owners.max() >= images):
        raise ValueError(f"{len(owners)} owners of {len(within)} captions among {images} images")
    return np.bincount(owners, weights=within, minlength=images) * images / len(within)


def _within(ranks: np.ndarray, k: int) -> np.ndarray:
    """Return the share of draws in which each query's rank, counted from 0, is below k."""
    return (np.atleast_2d(ranks) < k).mean(axis=0)


def _image_recall(k: int) -> Measure:
    return Measure(
        f"image_retrieval_recall@{k}",
        f"image recall@{k}",
        share_of_samples=True,
        chance=partial(_image_chance, k=k),
        samples=partial(_found_by_captions, k=k),
        needs=frozenset({"image_to_text_ranks", "text_to_image_ranks", "caption_images"}),
    )


def _text_recall(k: int) -> Measure:
    return Measure(
        f"text_retrieval_recall@{k}",
        f"text recall@{k}",
        share_of_samples=True,
        samples=partial(_captions_found, k=k),
        needs=frozenset({"image_to_text_ranks"}),
    )


class Retrieval(Task):
    """Recall@k in both directions; an image counts as found by any of its captions, and conversely.

    Directions are named by what is retrieved, as CLIP_benchmark does: image_retrieval_recall@k asks
    with a caption. A tie counts against the query; the settings say which share of the queries is
    tied, and how high each recall would be if ties counted in their favour. Kept for each query:
    image_to_text_ranks (draws, images), text_to_image_ranks (draws, captions), the same with ties
    in favour, *_ranks_highest, and the image of each caption, caption_images (captions,).
    """

    name = "retrieval"
    title = "retrieval"
    kinds = ("retrieval",)
    metrics = (*map(_image_recall, RANKS), *map(_text_recall, RANKS))
    obeys = ("random_features",)
    place = 30
    every_metric = True

    def score(
        self, run: TrainedRun, features: Reader, evaluation: Evaluation, *, device: str
    ) -> Outcome:
        """Rank once a draw."""
        owners = np.asarray(features.array("test/caption_images"))
        draws = range(features.draws("test/captions"))
        by_draw = [retrieval_ranks(run, features, draw, device) for draw in draws]
        # (2, draws, queries): ties against the query, and in its favour.
        ranked = {
            side: np.stack([draw[index] for draw in by_draw], 1)
            for index, side in enumerate(("text", "image"))
        }
        return Outcome(
            n_test=ranked["text"].shape[2],
            values={
                f"{side}_retrieval_recall@{k}": [recall(of_draw, k) for of_draw in ranked[side][0]]
                for side in ("image", "text")
                for k in RANKS
            },
            settings={
                "captions": len(owners),
                **_ties(ranked),
                **random_feature_settings(run, evaluation),
            },
            arrays={
                "image_to_text_ranks": ranked["text"][0],
                "text_to_image_ranks": ranked["image"][0],
                "image_to_text_ranks_highest": ranked["text"][1],
                "text_to_image_ranks_highest": ranked["image"][1],
                "caption_images": owners.astype(np.int32),
            },
        )

    def notes(self, results: Sequence[TaskResult]) -> list[str]:
        """Return how much the recalls depend on ties, if they do."""
        shares = [
            (share, f"{result.variant} on {result.dataset}")
            for result in results
            for share in _tied_shares(result)
        ]
        tied = [(share, where) for share, where in shares if share]
        if not tied:
            return []
        share, where = max(tied)
        return [
            f"Ties count against the query; up to {100 * share:.1f} % of the queries are tied"
            f" ({where}), and each result names its recalls with ties in favour of the query."
        ]


def _tied_shares(result: TaskResult) -> list[float]:
    """Return the share of tied queries in each direction."""
    said = result.settings.items()
    return [share for name, share in said if name.endswith("_retrieval_tied")]


def _ties(ranked: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the share of tied queries, and the recalls with ties in their favour, means over
    draws.
    """
    said: dict[str, float] = {}
    for retrieved, (lowest, highest) in ranked.items():
        said[f"{retrieved}_retrieval_tied"] = float(np.mean(lowest != highest))
        said |= {f"{retrieved}_retrieval_recall@{k}_highest": recall(highest, k) for k in RANKS}
    return said


def recall(ranks: np.ndarray, k: int) -> float:
    """Return the share of ranks below k."""
    return float(np.mean(ranks < k))


def retrieval_ranks(
    run: TrainedRun, features: Reader, draw: int, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Return (image to text, text to image) ranks, (2, queries) int32, at one random-feature draw;
    see ranks.

    Inner products of features are computed in float64 and rounded to float32, so that captions or
    images with the same features tie exactly, wherever they stand and whatever the size of the
    blocks. Scores of point sets, which cost a thousand times as much, are computed in float32:
    there the last bit may tell equal sets apart.
    """
    import torch

    from kbench.measures.ranks import ranks

    similarity = copy.deepcopy(run.similarity).to(device)
    owners = torch.from_numpy(np.array(features.array("test/caption_images"))).long().to(device)
    images, rows = _size(features, "images", ROWS)
    _, columns = _size(features, "captions", COLUMNS)

    def block(i: slice, c: slice) -> torch.Tensor:
        sides = (
            _block(features, name, part, draw, device)
            for name, part in (("images", i), ("captions", c))
        )
        return similarity.compare(*sides).float()

    block_ranks = ranks(block, owners, images, rows, columns)
    image_to_text, text_to_image = (each.cpu().numpy().astype(np.int32) for each in block_ranks)
    return image_to_text, text_to_image


def _arrays(features: Reader, side: str) -> list[str]:
    return [name for name in features.shapes if name.startswith(f"test/{side}/")]


def _size(features: Reader, side: str, most: int) -> tuple[int, int]:
    """Return how many images or captions there are, and how many of them fit a block."""
    first = [features.array(name)[:, 0] for name in _arrays(features, side)]
    return len(first[0]), max(
        1, min(most, BLOCK_BYTES * len(first[0]) // sum(array.nbytes for array in first))
    )


def _block(
    features: Reader, side: str, part: slice, draw: int, device: str
) -> dict[str, torch.Tensor]:
    """Return a few rows of what the similarity compares.

    Each call maps the files anew and copies: pages of a mapping that stays count as this process's
    memory.
    """
    import torch

    keys = {name.rpartition("/")[2]: name for name in _arrays(features, side)}
    dtype = np.float64 if "features" in keys else np.float32
    return {
        key: torch.from_numpy(features.array(name)[part, draw].astype(dtype)).to(device)
        for key, name in keys.items()
    }
