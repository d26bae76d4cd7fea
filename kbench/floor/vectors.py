"""A model without towers: every scene and every caption of the embedded world has points of its
own.
"""

import torch
from torch import nn

from kbench import similarity
from kbench.errors import UserError
from kbench.similarity.base import Representation
from kbench.similarity.sets import Side
from kbench.towers.output import TowerOutput


class FreeVectors(nn.Module):
    """Free tokens of S scenes and C captions, `points` each, and a similarity with all it learns.

    A token has the `dimension` numbers of its embedding and one more, from which a head can take
    its weight or variance; UserError if a dimension or a number of points is below 1, or the
    similarity has a decoder.
    """

    def __init__(
        self, name: str, settings: dict, dimension: int, points: int, sizes: tuple[int, int]
    ) -> None:
        super().__init__()
        for what, number in (("dimension", dimension), ("points", points)):
            if number < 1:
                raise UserError(f"{what} {number}; legal: at least 1")
        if similarity.get(name).has_likelihoods():
            raise UserError(
                f"{name} scores by a decoder of its own: free vectors are no floor of it; legal:"
                " similarities of point sets, such as cosine"
            )
        width = dimension + 1
        self.dimension = dimension
        self.similarity = similarity.create(name, settings, {"image": width, "text": width})
        self.scenes, self.captions = (
            nn.Parameter(torch.randn(size, points, width)) for size in sizes
        )

    def forward(self) -> torch.Tensor:
        """Return the logits (S, C) of every scene with every caption, by the exact kernel."""
        scores = self.similarity.compare(
            self._represent(self.scenes, "image"), self._represent(self.captions, "text")
        )
        return self.similarity.logit_scale() * scores

    def _represent(self, tokens: torch.Tensor, side: Side) -> Representation:
        output = TowerOutput(tokens, tokens.mean(1), lambda token: token[..., : self.dimension])
        sets = self.similarity.embed(output, side)
        return self.similarity.represent(sets, side, check=False)
