"""A released recipe as data: its settings, and how kbench differs from it whatever the settings
are.
"""

from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from kbench import yaml_file
from kbench.errors import unknown
from kbench.records.section import Section

FOLDER = Path(__file__).parent / "recipes"

TOLERANCE = 0.01
"""Relative difference in the number of pairs up to which a corpus is recognised: links of the web
rot.
"""


class RecipeCorpus(Section):
    """A corpus that the recipe is released for."""

    pairs: int = Field(description="number of pairs")
    epochs: float = Field(description="passes over it")
    warmup_epochs: float = Field(description="epochs of linear warm-up")

    def holds(self, pairs: int) -> bool:
        """Return whether a corpus of that many pairs can be this one."""
        return abs(pairs - self.pairs) <= TOLERANCE * self.pairs


class Difference(Section):
    """One way in which kbench differs from the release, whatever the settings are."""

    what: str
    release: str
    kbench: str
    why: str
    measured: str = Field(
        description="the effect, and on what it was measured; 'not measured' if it was not"
    )

    def sentence(self) -> str:
        """Return the difference in one line."""
        return (
            f"{self.what}: here {self.kbench}; released {self.release} ({self.why}; effect:"
            f" {self.measured})"
        )


class Recipe(Section):
    """What the release does, and what kbench does otherwise."""

    title: str
    corpora: dict[str, RecipeCorpus]
    training: dict[str, Any]
    towers: str
    towers_of: dict[str, dict[str, Any]]
    objective: str
    datasets: tuple[str, ...]
    random_features: dict[str, Any]
    linear_probe: dict[str, Any]
    not_compared: dict[str, str] = Field(description="setting -> why it need not be compared")
    differences: dict[str, Difference]

    def corpus(self, pairs: int | None) -> str | None:
        """Return the name of the recipe's corpus of about that many pairs, or None."""
        if pairs is None:
            return None
        return next((name for name, corpus in self.corpora.items() if corpus.holds(pairs)), None)


DEFAULT = "arxiv-2404.19228"
"""The recipe that experiments are compared with if they claim none."""


def names() -> list[str]:
    """Return the names of the recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@cache
def load(name: str = DEFAULT) -> Recipe:
    """Return a recipe; UserError with the nearest match for an unknown one."""
    if name not in names():
        raise unknown("recipe", name, names())
    return Recipe.model_validate(yaml_file.read(FOLDER / f"{name}.yaml"))
