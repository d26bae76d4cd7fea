"""What must be one over all results of an experiment; a mixture is refused, naming both sides."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from kbench.errors import UserError
from kbench.records.documents import ModelCard, TaskResult
from kbench.results import codes, jobs


def document_name(folder: Path, run: str, dataset: str, task: str, suffix: str = ".json") -> str:
    """Return where a result lies in an experiment's results folder, or a file beside it; a string,
    since tens of thousands are opened.
    """
    return f"{folder}/runs/{run}/evaluation/{dataset}/{task}{suffix}"


def document_path(folder: Path, run: str, dataset: str, task: str) -> Path:
    """Return where a result lies in an experiment's results folder."""
    return Path(document_name(folder, run, dataset, task))


def refuse(
    folder: Path,
    name: str,
    results: Sequence[TaskResult],
    cards: Mapping[str, ModelCard],
    mixed_images: bool = False,
    mixed_code: bool = False,
) -> list[str]:
    """Raise UserError if results clash or their provenance must not be averaged; the message says
    what to run.

    mixed_images, mixed_code: let results of different container images, or of code that does not
    agree, pass. Returns what then has to be said under every table, naming what differs.

    One over all results is the container image, and the code of each stage as far as results share
    it; over each dataset its data, split and evaluation settings; over each run its configuration
    and checkpoint; and each (variant, objective, seed, dataset, task) has one run.
    """
    refuse_values(folder, name, results, cards, mixed_images)
    apart = codes.disagreements(folder, results, cards)
    if apart and not mixed_code:
        raise UserError(
            f"results must not be mixed: {apart[0].sentence}. Make again what today's code would"
            f" not have made: {apart[0].remedy}; or keep them as two experiments{_OR_MIXED_CODE}."
        )
    for result in results:
        _refuse_other_weights(folder, result, cards.get(result.run))
    of_images = _images_note(results, cards) if mixed_images else None
    return [note for note in (of_images, _code_note(apart)) if note]


def refuse_values(
    folder: Path,
    name: str,
    results: Sequence[TaskResult],
    cards: Mapping[str, ModelCard],
    mixed_images: bool = False,
) -> None:
    """Raise UserError as `refuse` does, by what results say of themselves alone: for a table, which
    has no records of code beside it.
    """

    def path(result: TaskResult) -> Path:
        return document_path(folder, result.run, result.dataset, result.task)

    def card_path(card: ModelCard) -> Path:
        return folder / "runs" / card.run / "model.json"

    foreign = next((result for result in results if result.experiment != name), None)
    if foreign is not None:
        raise UserError(
            f"{path(foreign)} belongs to experiment {foreign.experiment}, {folder} to {name}"
        )
    if not mixed_images:
        rule = ("the container image", _all, lambda result: result.provenance.image_digest)
        _one_value(results, rule, path, jobs.again(folder, "features"), _OR_MIXED)
        rule = ("the container image of training", _all, lambda card: card.image_digest)
        _one_value(cards.values(), rule, card_path, jobs.again(folder, "pretrain"), _OR_MIXED)
    for rule in _RESULT_RULES:
        _one_value(results, rule, path, jobs.again(folder, "features"))


def _refuse_other_weights(folder: Path, result: TaskResult, card: ModelCard | None) -> None:
    measured = result.provenance.checkpoint_sha256
    if card is None or card.checkpoint_sha256 == measured:
        return
    path = document_path(folder, result.run, result.dataset, result.task)
    raise UserError(
        f"results must not be mixed: {path} was measured on checkpoint {measured}, but"
        f" {folder / 'runs' / card.run / 'model.json'} is of {card.checkpoint_sha256}. Evaluate it"
        f" again: {jobs.evaluate(folder, result.run)} --forcerun features"
    )


def _images_note(results: Sequence[TaskResult], cards: Mapping[str, ModelCard]) -> str | None:
    """Return what has to be said of results that were made in several container images, naming
    each and the number of runs that it trained or evaluated; None if in one.
    """
    seen = {(result.provenance.image_digest, result.run) for result in results}
    seen |= {(card.image_digest, run) for run, card in cards.items()}
    runs = Counter(_shown(digest) for digest, _ in seen)
    if len(runs) < 2:
        return None
    named = [f"{image} ({number} run{'s'[: number > 1]})" for image, number in sorted(runs.items())]
    return f"Results of different container images are mixed: {', '.join(named)}."


def _code_note(apart: Sequence[codes.Disagreement]) -> str | None:
    """Return what has to be said of results of code that does not agree; None if all does."""
    if not apart:
        return None
    return f"Results of different code are mixed: {'; '.join(one.sentence for one in apart)}."


def _one_value(
    documents: Iterable, rule: "Rule", path: Callable, remedy: str, otherwise: str = ""
) -> None:
    what, group, value = rule
    first = {}
    for document in documents:
        key, seen = group(document), value(document)
        other, expected = first.setdefault(key, (document, seen))
        if seen != expected:
            raise UserError(
                f"results must not be mixed: {what.format(key)} is {_shown(expected)} in"
                f" {path(other)} but {_shown(seen)} in {path(document)}. Make them again as one"
                f" ({remedy}), or keep them as two experiments{otherwise}."
            )


def _shown(value: object) -> str:
    return "none (run on the host)" if value is None else str(value)


def _all(_: object) -> str:
    return "the experiment"


def _cell(result: TaskResult) -> str:
    return (
        f"{result.variant}, {result.objective}, seed {result.seed}, {result.task} on"
        f" {result.dataset}"
    )


_OR_MIXED = (
    "; --allow-mixed-images compares them all the same and names both images under the tables"
)

_OR_MIXED_CODE = "; --allow-mixed-code compares them all the same and says so under the tables"

Rule = tuple[str, Callable, Callable]
"""What the value is of, in which documents it must be one, and the value."""

_RESULT_RULES: tuple[Rule, ...] = (
    ("the run for {}", _cell, lambda result: result.run),
    (
        "the data of {}",
        lambda result: result.dataset,
        lambda result: result.provenance.dataset_sha256,
    ),
    (
        "the evaluation settings of {0[0]} ({0[1]})",
        lambda result: (result.dataset, result.task),
        lambda result: result.provenance.evaluation or "not recorded",
    ),
    (
        "the split of {0[0]} ({0[1]})",
        lambda result: (result.dataset, result.task),
        lambda result: f"{result.split} ({result.n_test} images)",
    ),
    (
        "the checkpoint of {}",
        lambda result: result.run,
        lambda result: result.provenance.checkpoint_sha256,
    ),
    (
        "the configuration of {}",
        lambda result: result.run,
        lambda result: result.provenance.config_hash,
    ),
)
