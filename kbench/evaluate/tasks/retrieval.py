"""Image-to-text and text-to-image retrieval through the run's own similarity."""

import copy

import numpy as np
import torch

from kbench.evaluate.ranks import ranks
from kbench.evaluate.run import TrainedRun
from kbench.evaluate.store import Reader
from kbench.evaluate.tasks.outcome import Outcome, over_draws, random_feature_settings
from kbench.experiment.schema import Evaluation

OBEYS = ("random_features",)
"""Evaluation settings that decide the result."""

RANKS = (1, 5, 10)
ROWS, COLUMNS = 1024, 4096
"""Most images and captions that are scored at once."""

BLOCK_BYTES = 1 << 26
"""Most bytes of stored features that a block of images or of captions has: 64 MiB."""


@torch.inference_mode()
def score(run: TrainedRun, features: Reader, evaluation: Evaluation, main_metric: str) -> Outcome:
    """Return recall@k in both directions; an image counts as found by any of its captions, and conversely.

    Directions are named by what is retrieved, as CLIP_benchmark does: image_retrieval_recall@k asks with a caption.
    A tie counts against the query; the settings say which share of the queries is tied, and how high each recall would
    be if ties counted in their favour. Kept for each query: image_to_text_ranks (draws, images), text_to_image_ranks
    (draws, captions), the same with ties in favour, *_ranks_highest, and the image of each caption, caption_images
    (captions,).
    """
    owners = np.asarray(features.array("test/caption_images"))
    draws = features.shapes[_arrays(features, "captions")[0]][1]
    by_draw = [retrieval_ranks(run, features, draw) for draw in range(draws)]
    # (2, draws, queries): ties against the query, and in its favour.
    found = {side: np.stack([draw[index] for draw in by_draw], 1) for index, side in enumerate(("text", "image"))}
    metrics = []
    for side in ("image", "text"):
        lowest = found[side][0]
        for k in RANKS:
            name = f"{side}_retrieval_recall@{k}"
            metrics.append(over_draws(name, [recall(of_draw, k) for of_draw in lowest], main_metric))
    return Outcome(
        n_test=found["text"].shape[2],
        metrics=metrics,
        settings={"captions": len(owners), **_ties(found), **random_feature_settings(run, evaluation)},
        arrays={
            "image_to_text_ranks": found["text"][0],
            "text_to_image_ranks": found["image"][0],
            "image_to_text_ranks_highest": found["text"][1],
            "text_to_image_ranks_highest": found["image"][1],
            "caption_images": owners.astype(np.int32),
        },
    )


def _ties(found: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the share of tied queries, and the recalls with ties in their favour, means over draws."""
    said: dict[str, float] = {}
    for retrieved, (lowest, highest) in found.items():
        said[f"{retrieved}_retrieval_tied"] = float(np.mean(lowest != highest))
        said |= {f"{retrieved}_retrieval_recall@{k}_highest": recall(highest, k) for k in RANKS}
    return said


def recall(found: np.ndarray, k: int) -> float:
    """Return the share of ranks below k."""
    return float(np.mean(found < k))


def retrieval_ranks(run: TrainedRun, features: Reader, draw: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (image to text, text to image) ranks, (2, queries) int32, at one random-feature draw; see ranks.

    Inner products of features are computed in float64 and rounded to float32, so that captions or images with the
    same features tie exactly, wherever they stand and whatever the size of the blocks. Scores of point sets, which
    cost a thousand times as much, are computed in float32: there the last bit may tell equal sets apart.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    similarity = copy.deepcopy(run.similarity).to(device)
    owners = torch.from_numpy(np.array(features.array("test/caption_images"))).long().to(device)
    images, rows = _size(features, "images", ROWS)
    _, columns = _size(features, "captions", COLUMNS)

    def block(i: slice, c: slice) -> torch.Tensor:
        sides = (_block(features, name, part, draw, device) for name, part in (("images", i), ("captions", c)))
        return similarity.compare(*sides).float()

    found = ranks(block, owners, images, rows, columns)
    image_to_text, text_to_image = (each.cpu().numpy().astype(np.int32) for each in found)
    return image_to_text, text_to_image


def _arrays(features: Reader, side: str) -> list[str]:
    return [name for name in features.shapes if name.startswith(f"test/{side}/")]


def _size(features: Reader, side: str, most: int) -> tuple[int, int]:
    """Return how many images or captions there are, and how many of them fit a block."""
    first = [features.array(name)[:, 0] for name in _arrays(features, side)]
    return len(first[0]), max(1, min(most, BLOCK_BYTES * len(first[0]) // sum(array.nbytes for array in first)))


def _block(features: Reader, side: str, part: slice, draw: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Return a few rows of what the similarity compares.

    Each call maps the files anew and copies: pages of a mapping that stays count as this process's memory.
    """
    keys = {name.rpartition("/")[2]: name for name in _arrays(features, side)}
    dtype = np.float64 if "features" in keys else np.float32
    return {
        key: torch.from_numpy(features.array(name)[part, draw].astype(dtype)).to(device) for key, name in keys.items()
    }
