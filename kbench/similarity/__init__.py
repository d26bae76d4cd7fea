"""Similarities between images and texts: one file each, found by itself in `variants` or in workflow/variants.

Nothing here imports torch until a variant is asked for: an experiment file is checked without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kbench import plugins
from kbench.similarity import variants

if TYPE_CHECKING:
    from kbench.similarity.base import Similarity, Widths

# Training keeps each variant's own estimator (the published one); evaluation takes the one of least variance.
EVALUATION_ESTIMATOR = "orthogonal"


FAMILY = plugins.Family(variants, "variant", Path("workflow/variants"), "kbench.variants")


def names() -> list[str]:
    """Return the names of all variants, sorted."""
    return FAMILY.names()


def get(name: str) -> type[Similarity]:
    """Return the class of the variant `name`; UserError naming the nearest match if there is none."""
    return FAMILY.load(name)


def create(name: str, settings: dict[str, Any] | None = None, widths: Widths | None = None) -> Similarity:
    """Return the variant `name` with its parameters set.

    settings: parameters that differ from their defaults; strings are converted. widths: {"image": width,
    "text": width} of the towers, for the learned weight heads; None leaves these out (scores of given sets
    need none). Raises UserError for an unknown variant or parameter and for a value out of range.
    """
    variant = get(name)
    return variant(variant.Settings.parse(name, settings or {}), widths)


def check(name: str, settings: dict[str, Any]) -> None:
    """Raise UserError where `create` would, without importing torch when only the name has to be checked."""
    if settings or name not in names():
        variant = get(name)
        variant.Settings.parse(name, settings)
