"""Pictures of weighted point sets: what each patch and token weighs, and what it adds to a
logit.
"""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING

import numpy as np

from kbench.document.parts import Figure, ReportSection
from kbench.report import svg
from kbench.report.analysis import Analysis
from kbench.report.plots import canvas
from kbench.results.arrays import read

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import SubFigure

FILE = "weights.npz"
NAMES = (
    "images",
    "captions",
    "tokens",
    "image_weights",
    "token_weights",
    "image_parts",
    "text_parts",
    "logits",
    "dataset",
)
EXAMPLES = 2
PIXELS = 128
"""Longest side of an image on the page; larger ones are thinned out."""


def section(analysis: Analysis, figures: bool) -> ReportSection | None:
    """Return pictures of a few test images for each variant with stored weights; None without
    any.
    """
    if not figures:
        return None
    stored = {
        group: arrays for group in analysis.scores.groups if (arrays := _arrays(analysis, group))
    }
    drawn = [
        _figure(group, number, arrays)
        for group, arrays in stored.items()
        for number in range(min(EXAMPLES, len(arrays["images"])))
    ]
    if not drawn:
        return None
    return ReportSection(
        "weights",
        "Weights",
        [
            "A variant with weights turns an image into one weighted point a patch and a caption"
            " into one a token, the class token and padding included. The weight of a point does"
            " not depend on the pair; what it adds to the logit does, and is shown with the image's"
            " own caption and with another image's."
        ],
        drawn,
    )


def _arrays(analysis: Analysis, group: str) -> dict[str, np.ndarray] | None:
    """Return the arrays of the group's first run that stored them, or None."""
    for run in analysis.runs_of(group):
        path = analysis.store.place / "runs" / run / FILE
        if path.is_file():
            return read(path, NAMES)
    return None


def _figure(group: str, number: int, arrays: dict[str, np.ndarray]) -> Figure:
    other = (number + 1) % len(arrays["images"])
    own, mismatched = arrays["image_parts"][number]
    reach = np.abs(arrays["image_parts"][number]).max()
    weights = arrays["image_weights"][number]
    tokens = max(np.count_nonzero(arrays["tokens"][i]) for i in (number, other)) + 1
    with canvas(1.75 + 0.17 * tokens) as figure:
        pictures, texts = figure.subfigures(2, 1, height_ratios=[1.6, 0.17 * tokens])
        panels = pictures.subplots(1, 4)
        _image(panels[0], arrays["images"][number])
        _patches(panels[1], weights, np.abs(weights).max(), "weight")
        _patches(panels[2], own, reach, "own caption")
        _patches(panels[3], mismatched, reach, "other caption")
        left, right = texts.subfigures(1, 2)
        _tokens(left, arrays, number, arrays["text_parts"][number][0], "own")
        _tokens(right, arrays, other, arrays["text_parts"][number][1], "other")
        drawn = svg.inline(figure, f"plot-weights-{group}-{number}")
    captions, logits = arrays["captions"], arrays["logits"][number]
    caption = (
        f"{group}: a test image of {arrays['dataset']}, the weight of each patch, and what each"
        f" patch adds to the logit: {_shown(logits[0])} with its own caption '{captions[number]}',"
        f" {_shown(logits[1])} with '{captions[other]}'. The class token weighs"
        f" {_shown(weights[0])} and adds {_shown(own[0])} and {_shown(mismatched[0])}. Below, the"
        " same for the tokens of both captions. Blue is positive, orange negative."
    )
    return Figure(f"figure-weights-{group}-{number}", drawn, caption, caption)


def _image(axes: Axes, image: np.ndarray) -> None:
    step = max(1, -(-max(image.shape[:2]) // PIXELS))
    axes.imshow(image[::step, ::step], interpolation="nearest")
    _bare(axes, "image")


def _patches(axes: Axes, values: np.ndarray, reach: float, title: str) -> None:
    """Draw values (1 + patches,) on the patches' grid; the class token, which comes first, has no
    place.
    """
    side = isqrt(len(values) - 1)
    grid = values[1:].reshape(side, -1) if side * side == len(values) - 1 else values[None, 1:]
    axes.imshow(grid, cmap=_signed(), vmin=-reach, vmax=reach, interpolation="nearest")
    _bare(axes, title)


def _tokens(
    figure: SubFigure, arrays: dict[str, np.ndarray], index: int, parts: np.ndarray, title: str
) -> None:
    """Draw the weights and the parts of a caption's tokens as bars, padding summed up in one."""
    written = int(np.count_nonzero(arrays["tokens"][index]))
    names = [str(name) for name in arrays["tokens"][index][:written]]
    padded = len(arrays["tokens"][index]) - written
    names += [f"padding ({padded})"] if padded else []
    columns = figure.subplots(1, 2, sharey=True)
    for axes, values, label in zip(
        columns,
        (arrays["token_weights"][index], parts),
        ("weight", f"{title} caption"),
        strict=True,
    ):
        heights = [*values[:written], *([values[written:].sum()] if padded else [])]
        colours = [svg.SERIES[0] if value >= 0 else svg.SERIES[1] for value in heights]
        axes.barh(range(len(heights)), heights, color=colours, height=0.7)
        axes.axvline(0, color=svg.TEXT, linewidth=0.6)
        axes.set_title(label, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.locator_params(axis="x", nbins=3)
        axes.spines["left"].set_visible(False)
    columns[0].set_yticks(range(len(names)), names)
    columns[0].set_ylim(len(names) - 0.5, -0.5)


def _signed() -> Colormap:
    """Return orange for negative, white for 0, blue for positive values: told apart by the
    colour-blind too.
    """
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("signed", ["#c2500a", "#ffffff", "#0067a8"])


def _shown(value: float) -> str:
    return f"{round(float(value), 2) + 0.0:.2f}".replace("-", "−")


def _bare(axes: Axes, title: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.set_title(title, fontsize=9)
    for spine in axes.spines.values():
        spine.set_visible(False)
