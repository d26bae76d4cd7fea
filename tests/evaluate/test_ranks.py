"""Ranks in blocks against the definition, with ties, and the memory that retrieval of MS-COCO's
size takes.
"""

import numpy as np
import pytest
import torch
from clip_benchmark.metrics import zeroshot_retrieval
from hypothesis import given, settings
from hypothesis import strategies as st
from retrieval_memory import measured, write

from kbench.measures.ranks import ranks


def defined(scores, owners, beats):
    """The definition, one query at a time."""
    image_to_text, text_to_image = [], []
    for image, row in enumerate(scores):
        mine = owners == image
        best = row[mine].max() if mine.any() else -np.inf
        image_to_text.append(int(beats(row[~mine], best).sum()))
    for caption, owner in enumerate(owners):
        others = np.delete(scores[:, caption], owner)
        text_to_image.append(int(beats(others, scores[owner, caption]).sum()))
    return image_to_text, text_to_image


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_blocks_of_any_size_agree_with_the_definition(data):
    images, captions = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 20))
    owners = np.array(
        data.draw(st.lists(st.integers(0, images - 1), min_size=captions, max_size=captions))
    )
    # Few different values, so that ties are common.
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    scores = generator.integers(0, 4, (images, captions)).astype(np.float32)
    rows, columns = data.draw(st.integers(1, 10)), data.draw(st.integers(1, 21))
    table = torch.from_numpy(scores)
    found = ranks(lambda i, c: table[i, c], torch.from_numpy(owners), images, rows, columns)
    for row, beats in enumerate((np.greater_equal, np.greater)):
        assert [each[row].tolist() for each in found] == list(defined(scores, owners, beats))


@pytest.mark.parametrize("repeated", [True, False])
def test_clip_benchmarks_recall_lies_between_the_lowest_and_the_highest(repeated):
    """On captions that repeat, and on scores rounded to a tenth, through its own functions."""
    generator = torch.Generator().manual_seed(3)
    owners = torch.arange(300) // 3
    scores = torch.randn(100, 300, generator=generator) + 2.0 * (
        owners == torch.arange(100)[:, None]
    )
    if repeated:
        captions = torch.arange(300)
        scores = scores[:, torch.where(captions % 3 == 0, captions, captions // 30 * 30)]
    else:
        scores = (10 * scores).round() / 10
    image_to_text, text_to_image = ranks(lambda i, c: scores[i, c], owners, 100, 32, 64)
    positive = owners == torch.arange(100)[:, None]
    between = 0
    for k in (1, 5, 10):
        theirs = {
            "image": (
                (zeroshot_retrieval.recall_at_k(scores.T, positive.T, k) > 0).float().mean().item()
            ),
            "text": (zeroshot_retrieval.recall_at_k(scores, positive, k) > 0).float().mean().item(),
        }
        for retrieved, found in (("text", image_to_text), ("image", text_to_image)):
            lowest, highest = ((found[row] < k).float().mean().item() for row in (0, 1))
            assert lowest - 1e-6 <= theirs[retrieved] <= highest + 1e-6
            between += lowest < highest
    assert between >= 3, "ties matter in one direction at least"


def test_constant_scores_find_nothing():
    owners = torch.arange(6) // 2
    image_to_text, text_to_image = ranks(
        lambda i, c: torch.zeros(i.stop - i.start, c.stop - c.start), owners, 3, 2, 4
    )
    assert image_to_text.tolist() == [[4, 4, 4], [0, 0, 0]] and text_to_image.tolist() == [
        [2] * 6,
        [0] * 6,
    ]


@pytest.mark.whole
@pytest.mark.parametrize(
    ("variant", "images", "tokens"), [("wpse-gaussian", 300, (1, 1)), ("filip", 200, (2, 1))]
)
def test_memory_is_that_of_the_blocks_and_not_of_the_files(variant, images, tokens, tmp_path):
    stored = write(tmp_path / "features", variant == "wpse-gaussian", images, 16384, tokens)
    found = measured(tmp_path / "features", variant, block_bytes=4 << 20)
    assert stored > 90e6 and found["peak"] - found["before"] < 60e6
