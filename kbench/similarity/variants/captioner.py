"""How probable a caption is, token by token, given the image."""

from __future__ import annotations

from pydantic import Field

from kbench.lazily import Module, functional, nn, torch
from kbench.similarity.base import Representation, mean_point
from kbench.similarity.features import RandomFeatures
from kbench.similarity.generative import GenerativeSettings, GenerativeSimilarity, applied
from kbench.similarity.sets import PointSet, Side, Widths
from kbench.towers.output import TowerOutput


class CaptionStates(Module):
    """What the words after each token depend on: of a text one point a token, of an image one for
    all, both of H numbers that are added, and one more, the id of the next token, 0 of an image.

    A token after which nothing comes has weight 0, all others 1.
    """

    needs_tokens = True

    def __init__(self, settings: Captioner.Settings, widths: Widths | None) -> None:
        super().__init__()
        self.hidden, self.widths = settings.hidden, widths

    def prepare(self, embed_dim: int) -> None:
        """Make the maps from an image's embedding, and from a text's token beside its projection:
        a tower has that, and training has to use all that it has.
        """
        self.of_image = nn.Linear(embed_dim, self.hidden)
        if self.widths is not None:
            self.of_text = nn.Linear(self.widths["text"] + embed_dim, self.hidden, bias=False)

    def forward(self, output: TowerOutput, side: Side) -> PointSet:
        """Return the sets (B, 1, H + 1) of images, (B, T - 1, H + 1) of texts."""
        if side == "image":
            states = self.of_image(output.project(output.pooled)).unsqueeze(1)
            following = states.new_zeros(states.shape[:2])
        else:
            tokens = output.tokens[:, :-1]
            states = self.of_text(torch.cat([tokens, output.project(tokens)], dim=2))
            following = output.next_ids
        # Half precision would round the ids.
        states = states if states.dtype == torch.float64 else states.float()
        ids = following.clamp(min=0).to(states).unsqueeze(2)
        return PointSet(torch.cat([states, ids], dim=2), (following >= 0).to(states))

    def backbone(self, output: TowerOutput, side: Side) -> torch.Tensor:
        """Return the tower's own pooled embedding (B, width)."""
        return output.pooled


class Captioner(GenerativeSimilarity):
    """A decoder that sees the image last: the text tower reads the words so far, and one layer of
    both says the next.

    log p(y | x) is the sum over tokens, the end of text included, of
    log softmax(W gelu(u_t + v) + b) at the next token, where u_t is a linear map of the text
    tower's token and v one of the image's embedding, so that the image has d numbers, as elsewhere.
    The text tower has to be one whose tokens see none of those after them, as CLIP's.
    """

    name = "captioner"
    formula = (
        "log p(y|x) - log mean_x' p(y|x'), p(y|x) = prod_t softmax(W gelu(u_t(y) + v(x)) + b)[y_t]"
    )
    source = (
        "kbench's; an image added to the state of a language model before the words are chosen: Mao"
        " et al. 2014 (m-RNN), arXiv 1412.6632"
    )
    licence = "kbench's own"
    remark = "with the likelihood objective alone"
    takes = CaptionStates

    class Settings(GenerativeSettings):
        """Parameters."""

        hidden: int = Field(
            128, ge=1, le=16384, description="width H of the layer before the words; kbench's"
        )

    def point_dimension(self, embed_dim: int) -> int:
        """Return H + 1."""
        return self.settings.hidden + 1

    def prepare_decoder(self, embed_dim: int, vocabulary: int, positions: int) -> None:
        """Make the layer before the words, and that of the words."""
        super().prepare_decoder(embed_dim, vocabulary, positions)
        self.sets.prepare(embed_dim)
        self.words = nn.Linear(self.settings.hidden, vocabulary)

    def numbers_of_pair(self, images: Representation, texts: Representation) -> int:
        """Return the numbers of both layers, at each token."""
        return texts["points"].shape[1] * sum(self._prepared().words.weight.shape)

    def likelihoods(self, images: torch.Tensor, texts: Representation) -> torch.Tensor:
        """Return log p (B, C) of every text given every image's point (B, 1, H + 1)."""
        there = (texts["weights"] != 0).any(0).nonzero()
        longest = int(there.max()) + 1 if len(there) else 1
        shown = {name: texts[name][:, :longest] for name in ("points", "weights")}
        return self._sums(images[:, None], shown)

    def log_likelihoods(self, images: Representation, texts: Representation) -> torch.Tensor:
        """Return log p (B,) of each text given its image."""
        with torch.autocast(images["points"].device.type, enabled=False):
            return self._sums(images["points"], texts)

    def probed(self, sets: PointSet) -> torch.Tensor:
        """Return what an image adds to the states (B, H)."""
        return sets.mean()[:, :-1]

    def reference(
        self, image: PointSet, text: PointSet, draw: RandomFeatures | None
    ) -> torch.Tensor:
        """Return the sum over tokens, each word's logit by itself."""
        total, words = image.points.new_zeros(()), self._prepared().words
        v = mean_point(image)[:-1]
        for present, point in zip(text.weights[0], text.points[0], strict=True):
            if present == 0:
                continue
            hidden = functional.gelu(point[:-1] + v)
            rows = zip(words.weight.to(v), words.bias.to(v), strict=True)
            logits = torch.stack([row @ hidden + bias for row, bias in rows])
            following = int(point[-1].round()) % len(logits)
            total = total + logits[following] - logits.exp().sum().log()
        return total

    def _sums(self, image: torch.Tensor, texts: Representation) -> torch.Tensor:
        """Return the sums over tokens (...), of images' points (..., 1, H + 1) that broadcast with
        texts' (..., T, H + 1).
        """
        points, words = texts["points"], self._prepared().words
        logits = applied(words, functional.gelu(points[..., :-1] + image[..., :-1]))
        following = points[..., -1:].round().long() % words.out_features
        places = following.expand(*logits.shape[:-1], 1)
        said = logits.gather(-1, places).squeeze(-1) - logits.logsumexp(-1)
        return torch.where(texts["weights"] != 0, said, 0).sum(-1)
