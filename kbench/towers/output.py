"""What a tower hands to a similarity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kbench.lazily import torch

Side = Literal["image", "text"]


@dataclass(frozen=True)
class TowerOutput:
    """Token embeddings of a batch after the tower's final norm.

    tokens: (B, M, width), every token, or None of a tower that has none to give; pooled: (B,
    width), the one the tower itself pools to (class token, end of text); project: the tower's
    learned linear map from width to the shared embedding dimension d. next_ids: (B, M - 1), of a
    text whose tokens see none of those after them, the id of the token after each, and -1 from the
    last on; None of everything else. pixels: (B, 3, S, S), the image as the tower saw it, without
    mean and standard deviation; None of a text.
    """

    tokens: torch.Tensor | None
    pooled: torch.Tensor
    project: Callable[[torch.Tensor], torch.Tensor]
    next_ids: torch.Tensor | None = None
    pixels: torch.Tensor | None = None


def embedding_alone(embedding: torch.Tensor) -> TowerOutput:
    """Return the output of a tower that tells its embedding (B, d) and nothing before it."""
    return TowerOutput(None, embedding, lambda pooled: pooled)
