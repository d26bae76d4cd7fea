"""Which published cells an experiment can be compared with, from its configuration alone: before
anything has run.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kbench import tasks
from kbench.datasets import dataset as known_datasets
from kbench.experiment.schema import Experiment, RunConfig
from kbench.records.documents import PublishedRow
from kbench.results import matching, published
from kbench.results.matching import Setting


@dataclass(frozen=True)
class Plan:
    """The published cells beside what an experiment sets out to measure."""

    comparable: tuple[PublishedRow, ...]
    others: tuple[tuple[PublishedRow, tuple[str, ...]], ...]  # with what prevents the comparison


def plan(experiment: Experiment, runs: Iterable[RunConfig], rows: list[PublishedRow]) -> Plan:
    """Sort published rows into those that the experiment can be compared with and the others."""
    settings = _planned(experiment, runs)
    judged = [(row, matching.reasons(settings, row)) for row in rows]
    return Plan(
        comparable=tuple(row for row, reasons in judged if not reasons),
        others=tuple((row, reasons) for row, reasons in judged if reasons),
    )


def lines(experiment: Experiment, runs: Iterable[RunConfig]) -> list[str]:
    """Return the plan for people: how many cells, of which sources, then what prevents the others,
    most cells first.
    """
    rows = matching.about(_planned(experiment, runs), published.rows())
    planned = plan(experiment, runs, rows)
    told = [f"{len(planned.comparable)} of {len(rows)} known cells can be compared with"]
    for source in dict.fromkeys(row.source for row in planned.comparable):
        cells = [row for row in planned.comparable if row.source == source]
        pending = sum(row.value is None for row in cells)
        told.append(
            f"  {len(cells):>4} of {source}"
            + (f", {pending} {published.NOT_IMPORTED}" if pending else "")
        )
    groups: dict[tuple[str, tuple[str, ...]], int] = {}
    for row, reasons in planned.others:
        groups[row.source, reasons] = groups.get((row.source, reasons), 0) + 1
    for (source, reasons), cells in sorted(groups.items(), key=lambda group: -group[1]):
        told.append(f"  {cells:>4} of {source} cannot: {'; '.join(reasons)}")
    told += [f"     ? of {name}: cells not known here" for name in published.announced()]
    return told


def _planned(experiment: Experiment, runs: Iterable[RunConfig]) -> list[Setting]:
    datasets = map(known_datasets.get, experiment.evaluation.datasets)
    scored = [
        (each, task) for each in datasets for task in tasks.of(each, experiment.evaluation.tasks)
    ]
    sources = {model.name: model.source for model in experiment.models if not model.similarity}
    settings = {
        _setting(run, dataset, task, sources.get(run.variant))
        for run in runs
        for dataset, task in scored
    }
    return sorted(settings, key=lambda setting: (setting.variant, setting.dataset, setting.task))


def _setting(
    run: RunConfig, dataset: known_datasets.Dataset, task: str, weights: str | None
) -> Setting:
    return Setting(
        variant=run.variant,
        objective=run.objective,
        corpus=run.corpus_name,
        backbone=run.towers.backbone or run.towers.name,
        epochs=run.epochs,
        selection=run.selection,
        dataset=dataset.name,
        task=task,
        split=dataset.test_split,
        n_test=dataset.n_test,
        image_size=run.towers.image_size,
        prompts=None,
        units=tuple(
            (measure.name, matching.UNITS[measure.unit]) for measure in tasks.get(task).metrics
        ),
        weights=weights,
    )
