"""The world's probabilities in one object, and drawing from them."""

from functools import cached_property

import numpy as np

from kbench.errors import UserError
from kbench.world.captions import NAMED, TEMPLATES, caption_table, describe
from kbench.world.pmi import mismatched, mutual_information, pmi_table
from kbench.world.scenes import all_scenes
from kbench.world_family import Family


class RowSampler:
    """Draws columns of a table (S, C) of non-negative weights, for many rows at once."""

    def __init__(self, table: np.ndarray) -> None:
        self.rows, self.columns = table.shape
        cumulative = np.cumsum(table, axis=1)
        # Row s rises from s to s + 1, so that one sorted array serves every row's inverse
        # distribution.
        self._steps = (cumulative / cumulative[:, -1:] + np.arange(self.rows)[:, None]).ravel()

    def sample(self, rng: np.random.Generator, rows: np.ndarray) -> np.ndarray:
        """Draw a column index for each row index, in proportion to the row; `rows` and the result
        have one shape.
        """
        position = np.searchsorted(self._steps, rows + rng.random(np.shape(rows)), side="right")
        return np.minimum(position - np.multiply(rows, self.columns), self.columns - 1)


class World:
    """The joint distribution of scenes and captions, exactly; it has no seed.

    family: which world; the plain one has S = 346 and C = 3,627. named: how often captions name
    which attributes; scenes: list of S Scene; prior: (S,) p(a); captions: list of C str, without
    template; named_words: list of C dict, a caption's word for each attribute that it names; q:
    (S, C) probability of a caption meant for the scene; p: (S, C) the same with 3 % of the captions
    belonging to an unrelated scene; specificity: (C,) how many attributes a caption names. Tables
    are float64. An image determines its scene, so p(x, y) / (p(x) p(y)) = p(y | a) / p(y).
    """

    def __init__(self, family: Family | None = None) -> None:
        self.family = family or Family()
        self.named = self.family.shares(NAMED)
        self.scenes, self.prior = all_scenes(self.family)
        self.named_words, self.q = caption_table(self.scenes, self.prior, self.named)
        self.captions = [describe(**words) for words in self.named_words]
        self.specificity = np.array([len(words) for words in self.named_words])
        self.p = mismatched(self.q, self.prior)

    @cached_property
    def pmi(self) -> np.ndarray:
        """PMI in nats, (S, C): finite everywhere, not below log 0.03 = -3.51; up to 8.16 in the
        plain world.
        """
        return pmi_table(self.p, self.prior)

    @cached_property
    def mutual_information(self) -> float:
        """Mutual information of image and caption in nats."""
        return mutual_information(self.p, self.prior)

    @cached_property
    def _sampler(self) -> RowSampler:
        return RowSampler(self.p)

    @cached_property
    def _caption_indices(self) -> dict[str, int]:
        return {caption: index for index, caption in enumerate(self.captions)}

    def sample_scenes(self, rng: np.random.Generator, number: int) -> np.ndarray:
        """Draw scene indices (number,) from the prior."""
        return rng.choice(len(self.scenes), size=number, p=self.prior)

    def sample_captions(self, rng: np.random.Generator, scenes: np.ndarray) -> np.ndarray:
        """Draw one caption index from p(y | a) for each scene index; `scenes` and the result have
        the same shape.
        """
        return self._sampler.sample(rng, scenes)

    def sample_texts(self, rng: np.random.Generator, captions: np.ndarray) -> list[str]:
        """Put the captions of these indices (N,) into templates drawn at random."""
        templates = rng.choice(list(TEMPLATES), size=len(captions), p=list(TEMPLATES.values()))
        return [
            str(template).replace("{c}", self.captions[index])
            for template, index in zip(templates, captions, strict=True)
        ]

    def caption_index(self, text: str) -> int:
        """Return the index of a text's caption, whatever its template.

        Raises UserError if the embedded world cannot say the text.
        """
        for template in TEMPLATES:
            index = self._caption_indices.get(text.removeprefix(template.removesuffix("{c}")))
            if index is not None:
                return index
        raise UserError(
            f"'{text}' is no caption of the embedded world, such as 'a photo of {self.captions[0]}'"
        )
