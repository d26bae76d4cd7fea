"""Similarities between images and texts: one file each, found by itself in `variants` or in
workflow/variants.

Nothing here imports torch until a variant is created: an experiment is planned from what its
variants declare.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kbench import plugins
from kbench.similarity import variants

if TYPE_CHECKING:
    from kbench.similarity.base import Similarity, Widths
    from kbench.similarity.settings import Settings

# Training keeps each variant's own estimator (the published one); evaluation takes the one of least
# variance.
EVALUATION_ESTIMATOR = "orthogonal"


FAMILY = plugins.Family(variants, "variant", Path("workflow/variants"), "kbench.variants")


def names() -> list[str]:
    """Return the names of all variants, sorted."""
    return FAMILY.names()


def get(name: str) -> type[Similarity]:
    """Return the class of the variant `name`; UserError naming the nearest match if there is
    none.
    """
    return FAMILY.load(name)


def create(
    name: str, settings: dict[str, Any] | None = None, widths: Widths | None = None
) -> Similarity:
    """Return the variant `name` with its parameters set.

    settings: parameters that differ from their defaults; strings are converted. widths: {"image":
    width, "text": width} of the towers, for the learned weight heads; None leaves these out (scores
    of given sets need none). Raises UserError for an unknown variant or parameter and for a value
    out of range.
    """
    return get(name)(parse(name, settings or {}), widths)


def parse(name: str, settings: dict[str, Any]) -> Settings:
    """Return all parameters of a variant, defaults included, without importing torch; UserError as
    `create`.
    """
    return get(name).Settings.parse(name, settings)
