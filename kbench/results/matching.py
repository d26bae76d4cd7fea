"""What has to be the same before a number of ours may be set beside a published one, and what
differs.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from kbench import tasks
from kbench.records.documents import PublishedRow, TaskResult
from kbench.results import published

UNITS = {"fraction": "percent", "nats": "nats", "correlation": "correlation"}
"""Unit of a metric of ours -> unit of the published number that it may be compared with."""


@dataclass(frozen=True)
class Setting:
    """What was or will be measured, and how: everything of a result but its seed and its values."""

    variant: str
    objective: str
    corpus: str
    backbone: str
    epochs: float
    selection: str
    dataset: str
    task: str
    split: str
    n_test: int | None  # None: not known before the data are read
    image_size: int | None  # pixels; None: not recorded
    prompts: float | None  # prompts of a class; None: none in this task, or not known yet
    units: tuple[tuple[str, str], ...]  # (metric, unit as published)
    weights: str | None = None  # where imported weights are from; None: trained here, or changed


def of_result(result: TaskResult, config: dict, weights: str | None = None) -> Setting:
    """Return the setting of a result; `config` is its run's frozen configuration, empty if there is
    none; `weights` where its weights were imported from.
    """
    size = config.get("towers", {}).get("vision_cfg", {}).get("image_size")
    return Setting(
        **{
            name: getattr(result, name)
            for name in ("variant", "objective", "corpus", "backbone", "epochs")
        },
        **{
            name: getattr(result, name)
            for name in ("selection", "dataset", "task", "split", "n_test")
        },
        image_size=size[0] if isinstance(size, list) else size,
        prompts=result.settings.get("prompts_per_class"),
        units=tuple((metric.name, UNITS[metric.unit]) for metric in result.metrics),
        weights=weights,
    )


def same_cell(setting: Setting, row: PublishedRow) -> bool:
    """Return whether a setting measures what a row is about: variant or weights, task, dataset and
    metric.
    """
    return (
        _same_model(setting, row)
        and setting.task == row.task
        and same_name(setting.dataset, row.dataset)
        and row.metric in dict(setting.units)
    )


def differences(setting: Setting, row: PublishedRow) -> list[tuple[str, str, str]]:
    """Return (what, theirs, ours) for each part of the setting that contradicts what the source
    states.
    """
    stated = [] if row.weights else _training(setting, row)
    if same_cell(setting, row):
        stated += [
            ("unit", row.unit, dict(setting.units)[row.metric]),
            ("split", row.split, setting.split),
            ("test samples", _text(row.n_test), _text(setting.n_test)),
            ("resolution", _text(row.image_size), _text(setting.image_size)),
            ("prompts of a class", _text(row.prompts), _text(setting.prompts)),
        ]
    return [
        (what, theirs, ours)
        for what, theirs, ours in stated
        if theirs is not None and ours is not None and not same_name(theirs, ours)
    ]


def about(settings: Sequence[Setting], rows: Sequence[PublishedRow]) -> list[PublishedRow]:
    """Return the rows without those of weights that are not among the settings: a list of models
    says nothing of others.
    """
    here = {setting.weights for setting in settings} | {None}
    return [row for row in rows if row.weights in here]


def reasons(settings: Sequence[Setting], row: PublishedRow) -> tuple[str, ...]:
    """Return why a row cannot be compared with any of the settings; empty if it can."""
    cell = [setting for setting in settings if same_cell(setting, row)]
    source = published.sources().get(row.source)
    against = [
        f"{what} {theirs}, here {ours}"
        for setting in nearest(cell or _trained_apart(settings), row)
        for what, theirs, ours in differences(setting, row)
    ]
    if row.task in tasks.names() and source and source.evaluation:
        against.append(f"evaluated by {source.evaluation}")
    return tuple(against if cell else against + _absent(settings, row))


def nearest(settings: Sequence[Setting], row: PublishedRow) -> list[Setting]:
    """Return the setting that differs in the fewest parts, alone in a list; empty without
    settings.
    """
    return [min(settings, key=lambda setting: len(differences(setting, row)))] if settings else []


def _trained_apart(settings: Sequence[Setting]) -> list[Setting]:
    """Return the first setting of each way of training: all that a row about another cell can
    contradict, and few among thousands.
    """
    first: dict[tuple, Setting] = {}
    for setting in settings:
        trained = (setting.corpus, setting.backbone, setting.objective)
        first.setdefault((*trained, setting.epochs, setting.selection), setting)
    return list(first.values())


def caveats(setting: Setting, row: PublishedRow) -> list[str]:
    """Return what the source does not state, so that it may differ without anybody seeing it."""
    source = published.sources().get(row.source)
    selection = source.selection if source else None
    stated = [] if row.weights else [("epochs", row.epochs), ("checkpoint selection", selection)]
    stated += [("split", row.split), ("test samples", row.n_test), ("resolution", row.image_size)]
    declared = tasks.find(setting.task)
    stated += [("prompts", row.prompts)] if declared and declared.uses_prompts else []
    silent = ", ".join(what for what, value in stated if value is None)
    return [f"not stated by the source: {silent}"] if silent else []


def same_name(one: str, other: str) -> bool:
    """Return whether two names differ in nothing but what differs between projects: 'ViT-B/16' and
    'vit-b-16'.
    """
    return _name(one) == _name(other)


def _same_model(setting: Setting, row: PublishedRow) -> bool:
    if row.weights:
        return setting.weights == row.weights
    return setting.variant == row.variant


def _training(setting: Setting, row: PublishedRow) -> list[tuple[str, str | None, str | None]]:
    """Return (what, theirs, ours) of how the model was trained."""
    return [
        ("corpus", row.corpus, setting.corpus),
        ("backbone", row.backbone, setting.backbone),
        ("objective", row.objective, setting.objective),
        ("epochs", _text(row.epochs), _text(setting.epochs)),
        ("checkpoint selection", _selection(row, setting), setting.selection),
    ]


def _selection(row: PublishedRow, setting: Setting) -> str | None:
    """Return the source's rule; silence is no agreement with a choice that was made on the test
    set.
    """
    source = published.sources().get(row.source)
    stated = source.selection if source else None
    return "not stated" if stated is None and setting.selection == "test-column" else stated


def _absent(settings: Sequence[Setting], row: PublishedRow) -> list[str]:
    """Return what of the cell itself the experiment does not have."""
    if row.task not in tasks.names():
        return [f"task {row.task} is not measured here" + (f" ({row.note})" if row.note else "")]
    absent = []
    if not any(_same_model(setting, row) for setting in settings):
        absent.append(f"variant {row.variant} is not trained here")
    if not any(same_name(setting.dataset, row.dataset) for setting in settings):
        absent.append("dataset is not evaluated here")
    return absent or [f"no {row.task} {row.metric} here"]


def _text(value: float | None) -> str | None:
    return None if value is None else f"{value:.10g}"


@functools.cache
def _name(text: str) -> str:
    return text.casefold().removeprefix("wds/").replace("/", "-").replace("_", "-")
