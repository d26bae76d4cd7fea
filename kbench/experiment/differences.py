"""Where an experiment departs from a released recipe: its settings, and what kbench does otherwise
in any case.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from kbench import similarity
from kbench.errors import UserError
from kbench.experiment import recipe as recipes
from kbench.experiment.recipe import Recipe
from kbench.experiment.schema import Experiment, Variant
from kbench.similarity.settings import ASSUMED
from kbench.towers import config as towers

ARCHITECTURE = ("embed_dim", "vision_cfg", "text_cfg", "words")
"""Keys of a tower configuration without which nothing else of it can be compared."""


def of(experiment: Experiment) -> list[str]:
    """Return one sentence for each difference from the recipe that the experiment claims, else the
    default one.

    Those of kbench itself, which no setting changes, are listed where the recipe is claimed or the
    corpus is one of the recipe's; elsewhere nobody takes the experiment for a reproduction.
    """
    if not experiment.variants:
        return []
    recipe = recipes.load(experiment.recipe or recipes.DEFAULT)
    parts = (_corpus, _models, _training, _evaluation)
    sentences = [sentence for part in parts for sentence in part(experiment, recipe)]
    if experiment.recipe or recipe.corpus(_pairs(experiment)):
        sentences += [difference.sentence() for difference in recipe.differences.values()]
    return sentences


def refuse_false_claim(experiment: Experiment) -> None:
    """Raise UserError if the experiment claims a recipe but trains on another corpus or other
    towers.
    """
    if experiment.recipe is None:
        return
    if not experiment.variants:
        raise UserError(
            f"{experiment.name} claims the recipe {experiment.recipe} and trains nothing"
        )
    recipe = recipes.load(experiment.recipe)
    claim = f"{experiment.name} claims the recipe {experiment.recipe}"
    pairs = _pairs(experiment)
    if recipe.corpus(pairs) is None:
        seen = (
            "states no number of pairs (corpus.samples)"
            if pairs is None
            else f"has {pairs:,} pairs"
        )
        legal = ", ".join(f"{name} {corpus.pairs:,}" for name, corpus in recipe.corpora.items())
        raise UserError(
            f"{claim}, but its corpus {seen}; legal, within 1 %: {legal}. Correct it, or leave out"
            " 'recipe'"
        )
    if experiment.start:
        raise UserError(
            f"{claim}, but starts from the weights of the model '{experiment.start.model}'"
        )
    if not _same_architecture(experiment, recipe):
        raise UserError(
            f"{claim}, but its towers '{experiment.towers}' are not those of '{recipe.towers}'"
        )


def markdown(recipe: Recipe) -> str:
    """Return what differs whatever the settings are as a Markdown table, for the README."""
    rows = [
        f"| {d.what} | {d.release} | {d.kbench} | {d.why} | {d.measured} |"
        for d in recipe.differences.values()
    ]
    header = [
        "| What | Release | kbench | Why | Measured effect |",
        "| --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*header, *rows])


def _pairs(experiment: Experiment) -> int | None:
    return getattr(experiment.corpus, "samples", None)


def _corpus(experiment: Experiment, recipe: Recipe) -> Iterator[str]:
    training, corpus, pairs = experiment.training, experiment.corpus, _pairs(experiment)
    name = recipe.corpus(pairs)
    if name is None:
        seen = "its number of pairs is not stated" if pairs is None else f"{pairs:,} pairs"
        known = " and ".join(
            f"{name} ({known.pairs:,} pairs)" for name, known in recipe.corpora.items()
        )
        yield f"corpus {corpus.name}: {seen}; released {known}"
        return
    known = recipe.corpora[name]
    if (training.epochs, training.warmup_epochs) != (known.epochs, known.warmup_epochs):
        yield (
            f"epochs {training.epochs:g}, warm-up {training.warmup_epochs:g}: released"
            f" {known.epochs:g} and {known.warmup_epochs:g} on {name}"
        )
    if pairs != known.pairs:
        yield f"corpus {corpus.name}: {pairs:,} pairs; released {known.pairs:,}"
    if any(source.weight != 1 for source in getattr(corpus, "sources", ())):
        yield "corpus: sources are weighted; released one corpus at a time"


def _models(experiment: Experiment, recipe: Recipe) -> Iterator[str]:
    if experiment.start:
        frozen = ", ".join(experiment.start.frozen) or "none"
        yield (
            f"start: towers of the model {experiment.start.model} with its weights, frozen:"
            f" {frozen}; released {recipe.towers}, weights drawn"
        )
    elif not _same_architecture(experiment, recipe):
        yield (
            f"towers {experiment.towers}: released {recipe.towers}, a ViT-B/16 and a text"
            " transformer of 12 layers"
        )
    for variant in experiment.variants:
        yield from _towers(experiment, variant, recipe)
        yield from _similarity(variant)
        objective = variant.objective or experiment.objective
        if objective != recipe.objective:
            yield f"{variant.name}: objective {objective}; released {recipe.objective}"


def _same_architecture(experiment: Experiment, recipe: Recipe) -> bool:
    if experiment.start:
        return False
    ours, released = towers.load(experiment.towers), towers.load(recipe.towers)
    return all(getattr(ours, key) == getattr(released, key) for key in ARCHITECTURE)


def _towers(experiment: Experiment, variant: Variant, recipe: Recipe) -> Iterator[str]:
    if not _same_architecture(experiment, recipe):
        for key, value in variant.towers.items():
            yield f"{variant.name}: {key} {_show(value)} in towers of its own"
        return
    ours = towers.load(experiment.towers, variant.towers)
    released = towers.load(recipe.towers, recipe.towers_of.get(variant.similarity))
    for key, seen, theirs in _changes(ours, released.model_dump(mode="json"), "towers", recipe):
        yield f"{variant.name}: {key} {_show(seen)} in its towers; released {_show(theirs)}"


def _similarity(variant: Variant) -> Iterator[str]:
    settings = similarity.parse(variant.similarity, variant.set)
    for key, value in settings:
        field = type(settings).model_fields[key]
        if value != field.default:
            yield (
                f"{variant.name}: {key} {_show(value)}; `kbench variants` has the source of"
                f" {_show(field.default)}"
            )
        elif ASSUMED in (field.description or ""):
            yield f"{variant.name}: {key} {_show(value)} is {field.description.partition('; ')[2]}"


def _training(experiment: Experiment, recipe: Recipe) -> Iterator[str]:
    for key, seen, released in _changes(experiment.training, recipe.training, "training", recipe):
        yield f"{key} {_show(seen)}: released {_show(released)}"
    if experiment.tuning is None:
        yield "tuning: the variants share one setting, which was tuned for none of them"
    else:
        yield (
            f"tuning: {_show(tuple(experiment.tuning.grid))} chosen for each variant among"
            f" {experiment.tuning.trials} trials by {experiment.tuning.rule}; the release states no"
            " search"
        )


def _evaluation(experiment: Experiment, recipe: Recipe) -> Iterator[str]:
    evaluation = experiment.evaluation
    missing = [name for name in recipe.datasets if name not in evaluation.datasets]
    if missing:
        yield (
            f"datasets: {len(missing)} of the paper's {len(recipe.datasets)} are left out:"
            f" {', '.join(missing)}"
        )
    others = [name for name in evaluation.datasets if name not in recipe.datasets]
    if others:
        yield f"datasets: not in the paper's tables: {', '.join(others)}"
    for key, seen, released in _changes(
        evaluation.random_features, recipe.random_features, "evaluation.random_features", recipe
    ):
        yield f"random features in evaluation: {key} {_show(seen)}; released {_show(released)}"
    for key, seen, released in _changes(
        evaluation.linear_probe, recipe.linear_probe, "evaluation.linear_probe", recipe
    ):
        yield f"linear probe: {key} {_show(seen)}; released {_show(released)}"


def _changes(
    section: BaseModel, released: Mapping[str, Any], place: str, recipe: Recipe
) -> Iterator[tuple[str, Any, Any]]:
    """Yield (key, here, released) of every key of a section that differs; KeyError if the recipe is
    silent on one.
    """
    ours = section.model_dump(mode="json")
    for key, seen in ours.items():
        if f"{place}.{key}" not in recipe.not_compared and seen != _plain(released[key]):
            yield key, seen, released[key]


def _plain(value: object) -> object:
    """Return a value as it stands in JSON."""
    return list(value) if isinstance(value, tuple) else value


def _show(value: object) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {_show(entry)}" for key, entry in value.items())
    return "none" if value is None else str(value)
