"""What weighted point sets look like: the weight of each patch and token, and what each adds to a
logit.
"""

from pathlib import Path

import numpy as np
import torch

from kbench import files
from kbench.datasets.dataset import Dataset
from kbench.datasets.reader import Split
from kbench.datasets.transform import Transform
from kbench.pretrain.model import ContrastiveModel
from kbench.similarity.base import Similarity
from kbench.similarity.sets import PointSet, Side
from kbench.towers import tokenizer
from kbench.towers.config import TowerConfig

EXAMPLES = 4
SEARCHED = 64
"""Images of the test split among which examples with different captions are looked for."""

FILE = "weights.npz"


@torch.inference_mode()
def write(
    folder: Path, model: ContrastiveModel, towers: TowerConfig, dataset: Dataset, root: Path
) -> bool:
    """Write weights.npz into a run's folder: the first test images with different captions, point
    by point.

    images (n, S, S, 3) uint8 and captions (n,); image_weights (n, M), the class token first; tokens
    and token_weights (n, T), '' where a caption is padded; image_parts (n, 2, M) and text_parts (n,
    2, T), what each point adds to the logit of the image with its own caption and with that of the
    next example; logits (n, 2), their sums. Returns False, without a file, for a similarity whose
    points have no learned weights.
    """
    similarity = model.similarity
    if not similarity.learns_weights:
        return False
    images, captions = _examples(dataset, root, Transform.of(towers))
    image_sets = model.embed_images(images)
    text_sets = model.embed_texts(torch.from_numpy(tokenizer.create(towers)(captions)))
    pairs = [[(i, i), (i, (i + 1) % len(captions))] for i in range(len(captions))]
    parts = [
        [contributions(similarity, _one(image_sets, i), _one(text_sets, j)) for i, j in row]
        for row in pairs
    ]
    image_parts, text_parts = (
        np.stack([np.stack([pair[side] for pair in row]) for row in parts]) for side in (0, 1)
    )
    arrays = {
        "dataset": np.array(dataset.name),
        "images": images,
        "captions": np.array(captions),
        "tokens": np.array([tokenizer.pieces(caption, towers) for caption in captions]),
        "image_weights": image_sets.weights.float().cpu().numpy(),
        "token_weights": text_sets.weights.float().cpu().numpy(),
        "image_parts": image_parts,
        "text_parts": text_parts,
        "logits": image_parts.sum(axis=-1),
    }
    with files.replacing(folder / FILE) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
    return True


def contributions(
    similarity: Similarity, image: PointSet, text: PointSet
) -> tuple[np.ndarray, np.ndarray]:
    """Return what each of an image's M points and each of a text's N points adds to their logit,
    (M,) and (N,).

    The product is a mean over points, with the exact kernel, so that a set of one point alone shows
    the point's part; each side's parts add up to the logit, nats. Where the score is another
    function of the product, the logit is shared out as the product is.
    """
    product = _products(similarity, image, text)
    linked = torch.where(product == 0, 1, similarity.link(product) / product).squeeze()
    scale = similarity.logit_scale() * linked
    of_image = _products(similarity, _single_points(image), text)[:, 0]
    of_text = _products(similarity, image, _single_points(text))[0]
    return tuple(
        (scale * part / part.numel()).float().cpu().numpy() for part in (of_image, of_text)
    )


def _products(similarity: Similarity, images: PointSet, texts: PointSet) -> torch.Tensor:
    def represent(sets: PointSet, side: Side) -> dict[str, torch.Tensor]:
        return similarity.represent(sets, side)

    return similarity.products(represent(images, "image"), represent(texts, "text"))


def _single_points(single: PointSet) -> PointSet:
    """Return a set (1, M, d) as M sets of one point each."""
    return PointSet(single.points.transpose(0, 1), single.weights.transpose(0, 1))


def _one(sets: PointSet, index: int) -> PointSet:
    return PointSet(sets.points[index : index + 1], sets.weights[index : index + 1])


def _examples(dataset: Dataset, root: Path, transform: Transform) -> tuple[np.ndarray, list[str]]:
    """Return the first test images (n, S, S, 3) uint8 whose first captions all differ, and
    these.
    """
    split = Split(dataset, root, dataset.test_split)
    images = next(split.batches(SEARCHED, transform))
    first: dict[str, int] = {}
    for image, caption in zip(split.labels.caption_images, split.labels.captions, strict=True):
        if image not in first.values():
            first.setdefault(caption, image)
    chosen = dict(list(first.items())[:EXAMPLES])
    return images[list(chosen.values())], list(chosen)
