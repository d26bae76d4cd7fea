"""Image-to-text and text-to-image retrieval through the run's own similarity."""

import numpy as np
import torch

from kbench.evaluate.run import TrainedRun
from kbench.evaluate.store import Reader
from kbench.evaluate.tasks.outcome import Outcome, over_draws, random_feature_settings
from kbench.experiment.schema import Evaluation

RANKS = (1, 5, 10)
CHUNK = 256
"""Images scored against all captions at once."""


@torch.inference_mode()
def score(run: TrainedRun, features: Reader, evaluation: Evaluation, main_metric: str) -> Outcome:
    """Return recall@k in both directions; an image counts as found by any of its captions, and conversely.

    Directions are named by what is retrieved, as CLIP_benchmark does: image_retrieval_recall@k asks with a caption.
    """
    owners = torch.from_numpy(np.asarray(features.array("test/caption_images")))
    shape = next(shape for name, shape in features.shapes.items() if name.startswith("test/captions/"))
    ranks = [_ranks(run, features, owners, draw) for draw in range(shape[1])]
    metrics = [
        over_draws(f"{direction}_retrieval_recall@{k}", [recall(rank[direction], k) for rank in ranks], main_metric)
        for direction in ("image", "text")
        for k in RANKS
    ]
    images = len(ranks[0]["text"])
    return Outcome(
        n_test=images,
        metrics=metrics,
        settings={"captions": len(owners), **random_feature_settings(run, evaluation)},
        arrays={f"{direction}_rank": rank.numpy() for direction, rank in ranks[0].items()},
    )


def recall(ranks: torch.Tensor, k: int) -> float:
    """Return the share of queries whose first right answer has fewer than k answers scored as high or higher."""
    return float((ranks < k).double().mean())


def _ranks(run: TrainedRun, features: Reader, owners: torch.Tensor, draw: int) -> dict[str, torch.Tensor]:
    images, captions = (
        features.representation("test/images", draw),
        features.representation("test/captions", draw),
    )
    size = len(next(iter(images.values())))

    def scores(start: int) -> torch.Tensor:
        return run.similarity.compare({key: rows[start : start + CHUNK] for key, rows in images.items()}, captions)

    own = torch.empty(len(owners))
    text_ranks = torch.empty(size, dtype=torch.long)
    for start in range(0, size, CHUNK):
        block = scores(start)
        mine = owners[None] == torch.arange(start, start + len(block))[:, None]
        best = block.masked_fill(~mine, -torch.inf).amax(dim=1)
        text_ranks[start : start + len(block)] = (block.masked_fill(mine, -torch.inf) >= best[:, None]).sum(dim=1)
        own[mine.any(dim=0)] = block.T[mine.T]
    image_ranks = torch.zeros(len(owners), dtype=torch.long)
    for start in range(0, size, CHUNK):
        block = scores(start)
        mine = owners[None] == torch.arange(start, start + len(block))[:, None]
        image_ranks += ((block >= own[None]) & ~mine).sum(dim=0)
    return {"image": image_ranks, "text": text_ranks}
