"""Quality against what a training computes, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence

from kbench.document.numbers import unit_name
from kbench.document.parts import Figure, slug
from kbench.report import plots, svg
from kbench.results.summary import Column
from kbench.site import standings
from kbench.site.standings import Standing

HEIGHT = 3.0


def against_operations(known: Sequence[Standing], column: Column, title: str) -> Figure:
    """Return the figure of one column, of standings whose operations are known."""
    factor = 100 if column.unit == "fraction" else 1
    name = f"operations-{column.task}-{slug(column.dataset)}"
    ahead = list(standings.front(known))
    from matplotlib import ticker

    with plots.canvas(HEIGHT) as figure:
        axes = figure.subplots()
        for index, experiment in enumerate(dict.fromkeys(one.experiment for one in known)):
            own = [one for one in known if one.experiment == experiment]
            look = svg.style(index) | {"linestyle": "none"}
            points = [one.operations for one in own], [factor * one.summary.mean for one in own]
            axes.plot(*points, markersize=5, label=experiment, **look)
        steps = [one.operations for one in ahead], [factor * one.summary.mean for one in ahead]
        axes.plot(*steps, drawstyle="steps-post", color=svg.TEXT, lw=1, label="Pareto front")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%.0e"))
        axes.xaxis.set_minor_formatter(ticker.NullFormatter())
        axes.set_xlabel("floating-point operations of the towers in one training")
        axes.set_ylabel(", ".join(filter(None, (column.title, unit_name(column.unit)))))
        axes.legend(fontsize=9)
        drawn = svg.inline(figure, name)
    best = ", ".join(f"{one.variant} of {one.experiment}" for one in ahead)
    caption = f"{title}, against the operations of one training. On the front: {best}."
    return Figure(name, drawn, f"{caption} The table has all values.", caption)
