"""Turns matplotlib figures into inline SVG that takes its colours and fonts from the page."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Stand-ins drawn by matplotlib, replaced by what the page's style sheet defines for light and dark.
TEXT, GRID = "#abc0f0", "#abc0f1"
SERIES = [f"#abc{index:03x}" for index in range(1, 8)]
MARKERS = "osD^vPX"
DASHES = [
    "-",
    (0, (5, 2)),
    (0, (1, 1.5)),
    (0, (5, 1.5, 1, 1.5)),
    (0, (8, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (2, 2)),
]
_COLOURS = {TEXT: "currentColor", GRID: "var(--grid)"} | {
    colour: f"var(--series-{index})" for index, colour in enumerate(SERIES, start=1)
}

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "kbench",
    "font.size": 11,
    "axes.labelsize": 11,
    "axes.edgecolor": TEXT,
    "axes.labelcolor": TEXT,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "text.color": TEXT,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def style(index: int) -> dict:
    """Return colour, marker and dash of the series at a position; marker and dash tell it without
    colour.
    """
    return {
        "color": SERIES[index % len(SERIES)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": DASHES[(index + index // len(SERIES)) % len(DASHES)],
    }


POINTS_PER_INCH = 72
"""Of an SVG file."""


def inline(figure: Figure, name: str) -> str:
    """Return a figure as an SVG element whose ids begin with `name` and whose width is that of its
    container.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    # As savefig does it, but for a drawing of everything that it throws away.
    canvas, of_images = FigureCanvasSVG(figure), figure.dpi
    if engine := figure.get_layout_engine():
        figure.dpi = POINTS_PER_INCH
        engine.execute(figure)
        figure.set_layout_engine("none")
    figure.dpi, stream = of_images, io.StringIO()
    canvas.print_svg(stream, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = _MARKERS_OF_ONE_LINE.sub(_style_once, text)
    # A hundredth of a point is less than any screen or printer shows.
    text = re.sub(r"(\d\.\d\d)\d+", r"\1", text)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{name}-", text)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)
    for stand_in, colour in _COLOURS.items():
        text = text.replace(stand_in, colour)
    return text.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1).strip()


_MARKERS_OF_ONE_LINE = re.compile(
    r'<g (clip-path="[^"]*")>\s*((?:<use [^>]*style="[^"]*"/>\s*)+)</g>'
)


def _style_once(group: re.Match) -> str:
    """Return a group of markers that share a style with the style at the group: half of what a
    figure of many points takes.
    """
    styles = set(re.findall(r' style="[^"]*"', group[2]))
    if len(styles) != 1:
        return group[0]
    [style] = styles
    markers = re.sub(r"\s+(?=<use )", "\n", group[2].replace(style, "")).strip()
    return f"<g {group[1]}{style}>\n{markers}\n</g>"


def standalone(inlined: str) -> str:
    """Return an SVG document of an inline element: with the colours of the printed page and a white
    ground.
    """
    text = inlined.replace('aria-hidden="true" focusable="false" ', "", 1).replace(
        "currentColor", _PRINTED["ink"]
    )
    text = re.sub(r"var\(--([\w-]+)\)", lambda match: _PRINTED[match[1]], text)
    return (
        re.sub(r"(<svg[^>]*>)", r'\1<rect width="100%" height="100%" fill="#fff"/>', text, count=1)
        + "\n"
    )


def _printed() -> dict[str, str]:
    """Return the colours that the page's style sheet gives print."""
    sheet = (Path(__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
    return dict(re.findall(r"--([\w-]+): (#\w+);", sheet[sheet.index("@media print") :]))


_PRINTED = _printed()
