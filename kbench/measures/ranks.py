"""Ranks of retrieval in bounded memory, for scores that are computed a block at a time."""

from collections.abc import Callable, Iterator

import torch

Score = Callable[[slice, slice], torch.Tensor]
"""(images, captions) -> their scores (B, C) in float32; the same block always gives the same
numbers.
"""


def ranks(
    score: Score, owners: torch.Tensor, images: int, rows: int, columns: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (image to text, text to image) ranks, (2, images) and (2, captions) int64; 0 is the
    best.

    `owners` (captions,) holds the image of each caption; blocks have `rows` images and `columns`
    captions. An image's rank is the number of other images' captions that score as high as its best
    own one or higher, a caption's the number of other images that score as high as its own one or
    higher: in the first row a tie counts against the query, so that constant scores find nothing,
    in the second in its favour. Whoever breaks ties in some order of his own gets a rank between
    the two. An image without a caption comes last.

    Blocks with right answers are scored twice, the others once: what the right answers score has to
    be known first.
    """
    own = torch.full(owners.shape, -torch.inf, device=owners.device)
    best = torch.full((images,), -torch.inf, device=owners.device)
    text_to_image, image_to_text = owners.new_zeros(2, len(owners)), owners.new_zeros(2, images)
    for i, c in _blocks(images, len(owners), rows, columns):
        right = _right(owners, images, i, c)
        if right.any():
            scores = score(i, c).masked_fill(~right, -torch.inf)
            own[c] = own[c].maximum(scores.amax(dim=0))
            best[i] = best[i].maximum(scores.amax(dim=1))
    for i, c in _blocks(images, len(owners), rows, columns):
        scores = score(i, c).masked_fill(_right(owners, images, i, c), torch.nan)
        for row, beats in enumerate((torch.ge, torch.gt)):
            text_to_image[row, c] += beats(scores, own[c]).sum(dim=0)
            image_to_text[row, i] += beats(scores, best[i, None]).sum(dim=1)
    return image_to_text, text_to_image


def _blocks(images: int, captions: int, rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    for image in range(0, images, rows):
        for caption in range(0, captions, columns):
            yield (
                slice(image, min(image + rows, images)),
                slice(caption, min(caption + columns, captions)),
            )


def _right(owners: torch.Tensor, images: int, i: slice, c: slice) -> torch.Tensor:
    return owners[None, c] == torch.arange(i.start, i.stop, device=owners.device)[:, None]
