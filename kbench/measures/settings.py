"""Settings of measures, sections of an experiment file. Nothing here imports torch."""

from typing import Annotated

from pydantic import Field

from kbench.records.section import Section

MOST_FEATURES = 1 << 20
"""Random features of one draw."""


class LinearProbeSettings(Section):
    """The published logistic regression; its grid is logspace(-6, 6, 97), searched coarse to
    fine.
    """

    strides: tuple[Annotated[int, Field(ge=1, le=96)], ...] = Field(
        default=(16, 8, 4, 2, 1),
        min_length=1,
        description="grid strides, in order; the grid has 97 values",
    )
    random_features: int = Field(
        default=512, gt=0, le=MOST_FEATURES, description="random features of the probe"
    )
    released_scaling: bool = Field(
        default=True,
        description="scale them by sqrt(2/1024) as the released code does, whatever their number",
    )
    released_resize: bool = Field(
        default=False,
        description=(
            "resize the short side to 256 / 224 of the towers' size before the centre crop, as the"
            " released probe does; test images are then encoded twice, because zero-shot"
            " classification does not"
        ),
    )
    max_iterations: int = Field(
        default=1000, gt=0, le=1_000_000, description="L-BFGS iterations per fit"
    )
    tolerance: float | None = Field(
        default=None,
        gt=0,
        le=0.1,
        description=(
            "stop as the released solver does, at its default 1e-4; null: as exact as it takes to"
            " be certain which C is best"
        ),
    )
