"""Time of ranking all captions of all images and the other way round; the baseline is what
CLIP_benchmark does with the same embeddings.

Rows: retrieval/N-images, seconds from embeddings to recall@1, 5 and 10 in both directions;
retrieval/N-images/recall, the image recall@5 that both find. kbench ranks in float64, so that equal
captions tie, in blocks of bounded memory; CLIP_benchmark holds all scores and looks at the best k.

Example:
  kbench bench retrieval --images 1000 5000
"""

import argparse
from typing import TYPE_CHECKING

from kbench import progress
from kbench.bench.measure import Row, alternate, say

if TYPE_CHECKING:
    import torch

CAPTIONS = 5
"""Of each image, as in Flickr30k and MS-COCO."""

NOISE = 4.0
"""In each number of a caption beside its image's: with it about half of the captions find it."""

BATCH = 64
"""Queries that CLIP_benchmark looks at together: the batch size of its images, by default."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the bench's arguments."""
    parser.add_argument("--images", type=int, nargs="+", default=[1000], help="default 1000")
    parser.add_argument("--width", type=int, default=512, help="of embeddings; default %(default)s")
    parser.add_argument("--repeats", type=int, default=3, help="default %(default)s")
    parser.add_argument("--device", default="cpu", help="default %(default)s")


def rows(arguments: argparse.Namespace) -> list[Row]:
    """Measure, print the table, return the rows."""
    measured = []
    for number in progress.track(arguments.images, "rankings", "images"):
        case = Case(number, arguments.width, arguments.device)
        seconds = alternate(case.kbench, case.clip_benchmark, arguments.repeats)
        name = f"retrieval/{number}-images"
        recalls = [
            each()["image_retrieval_recall@5"] for each in (case.kbench, case.clip_benchmark)
        ]
        measured += [
            Row.of(name, seconds[0], "seconds", seconds[1]),
            Row.of(f"{name}/recall", recalls[0], "fraction", recalls[1]),
        ]
        say(
            f"{number:>8} images{seconds[0]:>9.3g} s  CLIP_benchmark {seconds[1]:.3g} s  ratio"
            f" {measured[-2].ratio:.3f}  recall@5 {recalls[0]:.4f} and {recalls[1]:.4f}"
        )
    return measured


class Case:
    """Random unit embeddings of images and of captions about them, the same for both sides."""

    def __init__(self, images: int, width: int, device: str) -> None:
        import torch

        generator = torch.Generator().manual_seed(0)
        centres = torch.randn(images, width, generator=generator)
        self.owners = torch.arange(images).repeat_interleave(CAPTIONS).to(device)
        noise = NOISE * torch.randn(len(self.owners), width, generator=generator)
        about = centres.repeat_interleave(CAPTIONS, 0) + noise
        self.images, self.captions = (
            torch.nn.functional.normalize(side, dim=1).to(device) for side in (centres, about)
        )
        self.device = device

    def kbench(self) -> dict[str, float]:
        """Return the recalls as the task computes them."""
        from kbench.measures.ranks import ranks
        from kbench.tasks.retrieval import COLUMNS, RANKS, ROWS, recall

        images, captions = self.images.double(), self.captions.double()

        def score(i: slice, c: slice) -> "torch.Tensor":
            return (images[i] @ captions[c].T).float()

        ranked = ranks(score, self.owners, len(images), ROWS, COLUMNS)
        lowest = {"text": ranked[0][0].cpu().numpy(), "image": ranked[1][0].cpu().numpy()}
        return {
            f"{side}_retrieval_recall@{k}": recall(of_side, k)
            for side, of_side in lowest.items()
            for k in RANKS
        }

    def clip_benchmark(self) -> dict[str, float]:
        """Return the recalls as CLIP_benchmark's `evaluate` computes them from embeddings."""
        import torch

        import kbench.towers.compat  # isort: skip  # noqa: F401
        from clip_benchmark.metrics.zeroshot_retrieval import batchify, recall_at_k

        from kbench.tasks.retrieval import RANKS

        scores = self.captions.cpu() @ self.images.cpu().T
        right = torch.zeros_like(scores, dtype=torch.bool)
        right[torch.arange(len(scores)), self.owners.cpu()] = True
        both = {"image": (scores, right), "text": (scores.T, right.T)}
        return {
            f"{side}_retrieval_recall@{k}": float(
                (batchify(recall_at_k, *sides, BATCH, self.device, k=k) > 0).float().mean()
            )
            for side, sides in both.items()
            for k in RANKS
        }
