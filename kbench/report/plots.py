"""The report's plots. Each is about 5 inches wide, so that its text stays legible on a phone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice, product, zip_longest
from typing import TYPE_CHECKING

import numpy as np

from kbench import tasks
from kbench.document.numbers import heading, unit_name
from kbench.document.parts import Figure
from kbench.report import svg
from kbench.report.analysis import Analysis
from kbench.report.answer import difference_unit, over
from kbench.report.tables import SOURCES, spread
from kbench.results.datasets import Ranking
from kbench.results.dimension import dimensions, floors
from kbench.results.pairs import Comparison
from kbench.results.robustness import Shift, accuracies
from kbench.results.summary import Column, Summary
from kbench.tasks.base import Curves, Scatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

WIDTH = 5.0


def scores(analysis: Analysis, task: str) -> Figure:
    """Plot each variant's mean, sd and single seeds on every dataset of a task."""
    columns, groups = analysis.columns(task), analysis.scores.groups
    factor = _factor(columns[0].unit)
    seeds = sum(analysis.scores.summary(g, c).n for g, c in product(groups, columns))
    drawn_all = seeds <= MOST_TICKS
    # Axis label and legend need an inch however little there is to show.
    with _axes(max(1.4, 0.45 + 0.16 * len(columns) * len(groups))) as axes:
        for index, group in enumerate(groups):
            offset = (index - (len(groups) - 1) / 2) * 0.8 / len(groups)
            summaries = [analysis.scores.summary(group, column) for column in columns]
            places = np.arange(len(columns)) + offset
            _points(axes, [_scaled(s, factor) for s in summaries], places, index, group)
            if drawn_all:
                _seeds(axes, summaries, places, factor)
        _rows(axes, [column.dataset for column in columns])
        what = f"{columns[0].title}, {unit_name(columns[0].unit)}"
        axes.set_xlabel(what)
        _legend(axes, len(groups))
        drawn = svg.inline(axes.figure, f"plot-{task}")
    title = f"{heading(tasks.title(task))} by dataset"
    ticks = "ticks are single seeds" if drawn_all else f"{seeds} single seeds are in the table"
    return Figure(
        f"figure-{task}",
        drawn,
        f"{title}: see the table below.",
        f"{title}: {what}, mean ± sd over seeds; {ticks}.",
    )


def single(analysis: Analysis, column: Column, title: str) -> Figure:
    """Plot each variant's mean, sd and single seeds in one column, the best on top."""
    ranked, factor = analysis.scores.ranked([column]), _factor(column.unit)
    with _axes(0.7 + 0.26 * len(ranked)) as axes:
        for row, (group, summary) in enumerate(ranked):
            index = analysis.scores.groups.index(group)
            _points(axes, [_scaled(summary, factor)], np.array([row]), index, group)
            _seeds(axes, [summary], np.array([row]), factor)
        _rows(axes, [group for group, _ in ranked])
        if not column.higher_is_better:
            axes.set_xlim(left=0)
        axes.set_xlabel(f"{column.title}, {unit_name(column.unit)}")
        drawn = svg.inline(axes.figure, f"plot-{column.task}")
    caption = f"{title}: mean ± sd over seeds on {column.dataset}; ticks are single seeds."
    return Figure(f"figure-{column.task}", drawn, f"{title} by variant: see the table.", caption)


def dimension(analysis: Analysis, task: str, part: str = "dimension") -> Figure:
    """Plot each similarity's mean and 95 % interval over seeds against the embedding dimension."""
    columns = analysis.columns(task)
    factor, ticks = _factor(columns[0].unit), dimensions(analysis.lines)
    with _axes(3.2) as axes:
        for index, line in enumerate(analysis.lines):
            # So that intervals do not hide one another.
            shift = 1.03 ** (index - (len(analysis.lines) - 1) / 2)
            averages = {
                d * shift: (
                    analysis.scores.average(group, columns),
                    analysis.interval(group, columns),
                )
                for d, group in line.groups.items()
            }
            _averages(axes, line.name, index, averages, factor)
        below = floors(analysis.lines, task, analysis.corpus)
        for dashes, (name, values) in zip(((4, 2), (1, 2)), below.items(), strict=False):
            axes.plot(
                list(values),
                [factor * value for value in values.values()],
                label=f"least of {name}",
                color=svg.TEXT,
                linestyle=(0, dashes),
                linewidth=0.8,
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, ticks)
        axes.minorticks_off()
        axes.set_xlabel("embedding dimension")
        axes.set_ylabel(", ".join(filter(None, [columns[0].title, unit_name(columns[0].unit)])))
        if not columns[0].higher_is_better:
            axes.set_ylim(bottom=0)
        axes.grid(True, axis="y")
        _legend(axes, len(analysis.lines) + len(below))
        drawn = svg.inline(axes.figure, f"plot-{part}-{task}")
    title = f"{heading(tasks.title(task))} against the embedding dimension, {over(columns)}"
    caption = (
        f"{title}: mean over seeds with its 95 % interval, over training seeds and the choice of"
        " test samples, one line a similarity; ticks are single seeds."
        + (" Dashes: the least that free vectors reached without towers." if below else "")
    )
    return Figure(f"figure-{part}-{task}", drawn, f"{title}: see the table.", caption)


def ranks(task: str, mean_ranks: dict[str, float], ranking: Ranking) -> Figure:
    """Plot mean ranks over datasets with half of Nemenyi's critical difference to either side."""
    ordered = sorted(mean_ranks, key=mean_ranks.get)
    with _axes(0.7 + 0.27 * len(ordered)) as axes:
        axes.errorbar(
            [mean_ranks[group] for group in ordered],
            range(len(ordered)),
            xerr=ranking.critical_difference / 2,
            linestyle="none",
            color=svg.TEXT,
            marker="o",
            markersize=5,
            lw=1.2,
        )
        _rows(axes, ordered)
        axes.set_xlabel("mean rank over datasets, 1 is the best")
        drawn = svg.inline(axes.figure, f"plot-ranks-{task}")
    title = f"{heading(tasks.title(task))}, mean rank over datasets"
    caption = (
        f"{title}, ± half of the critical difference: variants whose bars overlap are not told"
        " apart (Nemenyi's test, 5 %)."
    )
    return Figure(f"figure-ranks-{task}", drawn, f"{title}: see the table.", caption)


def along(analysis: Analysis, task: str) -> Figure:
    """Plot each variant's mean and 95 % interval over seeds against the pairs that it has seen."""
    columns, groups = analysis.columns(task), analysis.scores.groups
    factor = _factor(columns[0].unit)
    with _axes(3.2) as axes:
        for index, group in enumerate(groups):
            at = {seen: scores.average(group, columns) for seen, scores in analysis.along.items()}
            averages = {seen: (average, average.interval) for seen, average in at.items()}
            _averages(axes, group, index, averages, factor)
        axes.set_xlabel("image-text pairs seen")
        axes.set_ylabel(", ".join(filter(None, [columns[0].title, unit_name(columns[0].unit)])))
        axes.grid(True, axis="y")
        _legend(axes, len(groups))
        drawn = svg.inline(axes.figure, f"plot-along-{task}")
    title = f"{heading(tasks.title(task))} along the training, {over(columns)}"
    caption = (
        f"{title}: mean over seeds with its 95 % interval (Student's t), ticks are single seeds."
        " The weights at the end are those that were chosen."
    )
    return Figure(f"figure-along-{task}", drawn, f"{title}: see the table.", caption)


def robustness(analysis: Analysis, shift: Shift) -> Figure:
    """Plot every seed of each variant: accuracy under the shift against accuracy without it."""
    with _axes(3.6) as axes:
        every = []
        for index, group in enumerate(analysis.scores.groups):
            points = np.array([*accuracies(analysis.scores, shift, group).values()]).reshape(-1, 2)
            look = svg.style(index) | {"linestyle": "none"}
            axes.plot(*(100 * points.T), label=group, markersize=5, **look)
            every += points.ravel().tolist()
        ends = [100 * min(every, default=0), 100 * max(every, default=1)]
        axes.plot(ends, ends, color=svg.TEXT, linewidth=0.8)
        axes.set_xlabel(f"{shift.reference.dataset}, {shift.reference.title}, %")
        axes.set_ylabel(f"average over {len(shift.shifted)} sets under shift, %")
        axes.grid(True, axis="both")
        _legend(axes, len(analysis.scores.groups))
        name = f"robustness-{shift.suite}-{shift.task}"
        drawn = svg.inline(axes.figure, f"plot-{name}")
    title = f"{heading(tasks.title(shift.task))} under shift ({shift.suite})"
    caption = f"{title} against that without it, every seed; the line is where both are equal."
    return Figure(f"figure-{name}", drawn, f"{title}: see the table.", caption)


def downstream(analysis: Analysis, gap: str, task: str) -> Figure:
    """Plot every set of weights: error as a classifier against the gap to the optimum, by
    similarity where runs differ in their dimension, all alike where there are very many.
    """
    from matplotlib.ticker import LogLocator

    every = analysis.downstream(task)
    names = {group: line.name for line in analysis.lines for group in line.groups.values()}
    names = {one.group: names.get(one.group, one.group) for one in every}
    if len(set(names.values())) > MOST_PANELS:
        names = dict.fromkeys(names, f"{len(names)} variants")
    with _axes(3.6) as axes:
        series = dict.fromkeys(names.values())
        for index, name in enumerate(series):
            mine = [one for one in every if names[one.group] == name]
            points = np.array([(one.gap, 100 * one.error) for one in mine])
            look = svg.style(index) | {"linestyle": "none"}
            axes.plot(*points.T, label=name, markersize=4, **look)
        if min(one.gap for one in every) > 0:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.minorticks_off()
        axes.set_xlabel(f"{analysis.columns(gap)[0].title}, nats")
        axes.set_ylabel(f"{tasks.title(task)} error, %")
        axes.grid(True, axis="both")
        _legend(axes, len(series))
        drawn = svg.inline(axes.figure, f"plot-downstream-{task}")
    title = f"{heading(tasks.title(task))} error against the gap to PMI"
    drawn_all = len(every) > len({(one.group, one.samples) for one in every})
    each = "every seed" if drawn_all else "means over seeds"
    caption = f"{title}: {each}, and every set of weights that was kept along the training."
    return Figure(f"figure-downstream-{task}", drawn, f"{title}: see the table.", caption)


Ends = tuple[float, float] | None
"""Of an interval, where there is one."""


def _averages(
    axes: Axes,
    name: str,
    index: int,
    averages: dict[float, tuple[Summary, Ends]],
    factor: float,
) -> None:
    """Draw a line through means over seeds, where there are any, with their intervals and a tick
    for every seed.
    """
    seen = {place: pair for place, pair in averages.items() if pair[0].mean is not None}
    means = np.array([average.mean for average, _ in seen.values()])
    ends = np.array([ends or (average.mean, average.mean) for average, ends in seen.values()])
    for place, (average, _) in seen.items():
        values = np.array(list(average.values.values())) * factor
        axes.plot([place] * len(values), values, "_", color=svg.TEXT, markersize=6, alpha=0.6)
    axes.errorbar(
        list(seen),
        means * factor,
        np.abs(ends.reshape(-1, 2).T - means) * factor,
        label=name,
        lw=1.4,
        markersize=5,
        **svg.style(index),
    )


MOST_PANELS = 12
"""Of a figure with one for each variant."""


def of_task(analysis: Analysis, figure: Scatter | Curves) -> Figure:
    """Plot what a task adds to its section."""
    drawn = _scatter(analysis, figure) if isinstance(figure, Scatter) else _curves(analysis, figure)
    caption, groups = figure.caption, len(analysis.scores.groups)
    if isinstance(figure, Scatter) and len(figure.points) > MOST_PANELS:
        caption += f" The first {MOST_PANELS} of {groups} variants."
    return Figure(f"figure-{figure.id}", drawn, figure.alternative, caption)


def _scatter(analysis: Analysis, given: Scatter) -> str:
    points = {
        group: given.points[group] for group in analysis.scores.groups if group in given.points
    }
    points = dict(islice(points.items(), MOST_PANELS))
    columns, rows = min(3, len(points)), -(-len(points) // 3)
    ends = [end([end(x) for x, _ in points.values()]) for end in (np.min, np.max)]
    with canvas(0.5 + 1.5 * rows) as figure:
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
        for panel, group in zip_longest(panels, points):
            panel.grid(False)
            panel.set_visible(group is not None)
            if group is not None:
                x, y = points[group]
                colour = svg.style(analysis.scores.groups.index(group))["color"]
                panel.plot(ends, ends, color=svg.TEXT, linewidth=0.8)
                panel.plot(x, y, ".", markersize=2.5, color=colour)
                panel.set_title(group, fontsize=10)
        figure.supxlabel(given.x, fontsize=11)
        figure.supylabel(given.y, fontsize=11)
        return svg.inline(figure, f"plot-{given.id}")


def _curves(analysis: Analysis, given: Curves) -> str:
    name, reference = given.reference
    with _axes(3.2) as axes:
        axes.plot(
            np.arange(1, len(reference) + 1),
            reference,
            color=svg.TEXT,
            linewidth=2.2,
            alpha=0.5,
            label=name,
        )
        for group, values in given.curves.items():
            look = svg.style(analysis.scores.groups.index(group)) | {"marker": None}
            axes.plot(np.arange(1, len(values) + 1), values, label=group, linewidth=1.4, **look)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(1, len(reference))
        axes.set_ylim(
            reference[0] * given.depth, 2 * max(values[0] for values in given.curves.values())
        )
        axes.set_xlabel(given.x)
        axes.set_ylabel(given.y)
        axes.grid(True, axis="both")
        _legend(axes, len(given.curves) + 1)
        return svg.inline(axes.figure, f"plot-{given.id}")


def of_pairs(analysis: Analysis, task: str) -> Figure:
    """Plot the differences of a task's pairs of variants."""
    pairs = [pair for pair in analysis.told(task) if pair.estimate]
    title = f"Pairs in {tasks.title(task)}, {over(analysis.columns(task))}"
    drawn = differences(pairs, f"pairs-{task}", title)
    every = sum(pair.estimate is not None for pair in analysis.comparisons(task))
    if every == len(pairs):
        return drawn
    more = f" Those of the best variant, {len(pairs)} of {every}."
    return replace(drawn, caption=drawn.caption + more)


def differences(pairs: Sequence[Comparison], name: str, title: str) -> Figure:
    """Plot the difference of each pair of variants, all tested, with its 95 % interval."""
    column = pairs[0].columns[0]
    factor = _factor(column.unit)
    values = np.array([pair.estimate.value for pair in pairs]) * factor
    reach = np.abs(
        np.array([[pair.estimate.low, pair.estimate.high] for pair in pairs]).T * factor - values
    )
    with _axes(0.7 + 0.24 * len(pairs)) as axes:
        axes.axvline(0, color=svg.TEXT, linewidth=0.8)
        for row, pair in enumerate(pairs):
            filled = svg.SERIES[0] if pair.significant else "none"
            axes.errorbar(
                values[row],
                row,
                xerr=reach[:, row : row + 1],
                fmt="o",
                color=svg.SERIES[0],
                mfc=filled,
                markersize=5,
                lw=1.2,
            )
        names, what = _differences(pairs)
        _rows(axes, names)
        # Long names leave the axis less room than the label takes.
        axes.set_xlabel(f"{what}, {difference_unit(column)}", loc="right")
        drawn = svg.inline(axes.figure, f"plot-{name}")
    caption = (
        f"{title}: difference with its 95 % interval, not corrected; filled if p < 0.05 after"
        " Holm's correction."
    )
    return Figure(f"figure-{name}", drawn, f"{title}: see the table below.", caption)


def _differences(pairs: Sequence[Comparison]) -> tuple[list[str], str]:
    """Return what to call each difference, and all of them, which says what they have in common."""
    firsts, seconds = ({getattr(pair, side) for pair in pairs} for side in ("first", "second"))
    if len(seconds) == 1:
        return [pair.first for pair in pairs], f"each less {seconds.pop()}"
    if len(firsts) == 1:
        return [pair.second for pair in pairs], f"{firsts.pop()} less each"
    return [f"{pair.first} − {pair.second}" for pair in pairs], "difference"


def loss_curves(analysis: Analysis) -> Figure | None:
    """Plot the training loss of each variant, its mean over seeds; None without any log."""
    curves = {group: _curve(analysis, group) for group in analysis.scores.groups}
    if not any(len(steps) for steps, _ in curves.values()):
        return None
    with _axes(2.9) as axes:
        for index, (group, (steps, losses)) in enumerate(curves.items()):
            look = svg.style(index) | {"marker": None}
            axes.plot(steps, losses, label=group, linewidth=1.4, **look)
        axes.set_xlabel("step")
        axes.set_ylabel("training loss, nats")
        axes.grid(True, axis="y")
        _legend(axes, len(curves))
        drawn = svg.inline(axes.figure, "plot-loss")
    caption = (
        "Training loss in nats against the optimiser step, mean over seeds. Source: metrics.jsonl"
        " of each run."
    )
    return Figure(
        "figure-loss",
        drawn,
        "Training loss by variant; the final losses are in the runs below.",
        caption,
    )


def variance(analysis: Analysis, task: str) -> Figure:
    """Plot the sd of one run's score by source for each variant."""
    unit = analysis.columns(task)[0].unit
    groups = analysis.scores.groups
    rows = np.array(
        [[np.nan if v is None else v for v in spread(analysis, task, group)] for group in groups]
    )
    with _axes(0.9 + 0.3 * len(groups)) as axes:
        for index, name in enumerate(SOURCES):
            look = svg.style(index) | {"linestyle": "none"}
            axes.plot(
                rows[:, index] * _factor(unit), range(len(groups)), label=name, markersize=6, **look
            )
        _rows(axes, groups)
        axes.set_xlim(left=0)
        axes.set_xlabel(
            f"standard deviation, {'points' if unit == 'fraction' else unit_name(unit)}"
        )
        _legend(axes, 2)
        drawn = svg.inline(axes.figure, f"plot-variance-{task}")
    caption = (
        f"Spread of one run's {tasks.title(task)} score by source, root mean square over datasets."
    )
    return Figure(f"figure-variance-{task}", drawn, f"{caption} See the table below.", caption)


@contextmanager
def canvas(height: float) -> Iterator[Canvas]:
    """Yield an empty figure of a height in inches, in kbench's style."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context(svg.STYLE):
        yield Canvas(figsize=(WIDTH, height), layout="constrained")


@contextmanager
def _axes(height: float) -> Iterator[Axes]:
    """Yield the only axes of a figure of a height in inches."""
    with canvas(height) as figure:
        yield figure.subplots()


def _points(
    axes: Axes,
    values: Sequence[tuple[float | None, float | None]],
    rows: np.ndarray,
    index: int,
    name: str,
) -> None:
    means = np.array([np.nan if mean is None else mean for mean, _ in values])
    sds = np.array([sd or 0.0 for _, sd in values])
    look = svg.style(index)
    axes.errorbar(
        means,
        rows,
        xerr=sds,
        linestyle="none",
        color=look["color"],
        marker=look["marker"],
        markersize=5,
        lw=1.2,
        label=name,
    )


MOST_TICKS = 1000
"""Single seeds that are drawn in a figure; a page of more would be too large."""


def _seeds(axes: Axes, summaries: Sequence[Summary], rows: np.ndarray, factor: float) -> None:
    """Draw a tick for every single seed, all in one path."""
    points = [
        (value * factor, row)
        for summary, row in zip(summaries, rows, strict=True)
        for value in summary.values.values()
    ]
    x, y = np.array(points).reshape(-1, 2).T
    gap, half = np.full_like(x, np.nan), 0.1
    across, along = np.stack([x, x, gap], axis=1), np.stack([y - half, y + half, gap], axis=1)
    axes.plot(across.ravel(), along.ravel(), color=svg.TEXT, lw=0.8, alpha=0.6)


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)


def _legend(axes: Axes, entries: int) -> None:
    axes.figure.legend(
        loc="outside lower center", ncols=min(entries, 3), handletextpad=0.4, columnspacing=1.2
    )


def _curve(analysis: Analysis, group: str) -> tuple[list[int], list[float]]:
    """Return steps and the mean loss over the runs that logged each of them."""
    by_step: dict[int, list[float]] = {}
    for run in analysis.runs_of(group):
        for entry in analysis.store.log(run):
            by_step.setdefault(entry["step"], []).append(entry["loss"])
    steps = sorted(by_step)
    return steps, [float(np.mean(by_step[step])) for step in steps]


def _scaled(summary: Summary, factor: float) -> tuple[float | None, float | None]:
    if summary.mean is None:
        return None, None
    return summary.mean * factor, None if summary.sd is None else summary.sd * factor


def _factor(unit: str) -> float:
    return 100.0 if unit == "fraction" else 1.0
