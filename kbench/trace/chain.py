"""The chain from a result to what it was made from: features, weights, data, corpus, code,
environment.

Every link says whether what a document names is still there and still what it names; nothing is
assumed.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kbench import files
from kbench.errors import UserError
from kbench.identity import code
from kbench.identity.stages import Stages
from kbench.records.documents import ModelCard, TaskResult
from kbench.results import store
from kbench.results.mixture import document_path

HOLDS, ABSENT, DIFFERS, UNRECORDED = "as recorded", "absent", "differs", "not recorded"
UNSEEN = "recorded, not looked at"
"""Of what may lie anywhere, or take hours to read."""


@dataclass(frozen=True)
class Link:
    """One step: what it is, the identity that the step above names, where it lies, and whether that
    is still so.
    """

    what: str
    identity: str | None
    where: str
    state: str
    note: str = ""


@dataclass(frozen=True)
class Chain:
    """A result of the experiment whose results are in `folder`, and everything behind it."""

    path: Path
    folder: Path
    result: TaskResult
    links: tuple[Link, ...]


def of(path: Path) -> Chain:
    """Return the chain behind a result's document, runs/RUN/evaluation/DATASET/TASK.json.

    Raises UserError if it is no result, or lies where a result of another run, dataset or task
    belongs.
    """
    path = _whole(path)
    result = store.read_record(path, TaskResult)
    folder = path.parents[4]
    if document_path(folder, result.run, result.dataset, result.task) != path:
        raise UserError(
            f"{path} holds {result.task} on {result.dataset} of run {result.run}: it was moved"
        )
    return Chain(path, folder, result, tuple(_links(folder, result)))


def _whole(path: Path) -> Path:
    """Return a path that goes up to the experiment's folder and beyond, wherever it was named
    from.
    """
    return path if len(path.parents) > 5 and ".." not in path.parts else Path(os.path.abspath(path))


def _links(folder: Path, result: TaskResult) -> Iterator[Link]:
    run, made = folder / "runs" / result.run, result.provenance
    yield _code(run, "code of the task", made.task_code)
    yield _features(run / "features" / result.dataset / "features.json", made.features)
    yield _code(run, "code of the features", made.features_code)
    yield Link(
        "evaluation data",
        made.dataset_sha256,
        "",
        UNSEEN if made.dataset_sha256 else UNRECORDED,
        result.dataset,
    )
    yield _weights(run, made.checkpoint_sha256)
    yield _code(run, "code of the training", made.training_code)
    yield _configuration(run / "config.json", made.config_hash)
    yield _origin(run) or _corpus(folder / "corpus.json")
    if start := _start(run / "config.json"):
        yield start
    yield _environment(run, made.environment)


def _code(run: Path, what: str, digest: str | None) -> Link:
    if digest is None:
        return Link(what, None, "", UNRECORDED)
    where = str(code.path(run, digest))
    try:
        listed = code.read(run, digest)
    except UserError as error:
        return Link(
            what, digest, where, ABSENT if not Path(where).exists() else DIFFERS, str(error)
        )
    tree = Stages().tree
    sources = {module: tree.source(module) for module in listed.modules}
    changed = [
        name for name, now in sources.items() if now is None or now.hash != listed.modules[name]
    ]
    note = f"{len(listed.modules)} modules, " + (
        f"since changed: {', '.join(changed)}" if changed else "as they are now"
    )
    return Link(what, digest, where, HOLDS, note)


def _features(record: Path, identity: str | None) -> Link:
    if identity is None:
        return Link("features", None, str(record), UNRECORDED)
    if not record.is_file():
        return Link("features", identity, str(record), ABSENT)
    document = files.read_json(record)
    digest = files.canonical_hash(document.get("key") if isinstance(document, dict) else None)
    note = "" if digest == identity else f"there now: {digest}"
    return Link("features", identity, str(record), HOLDS if digest == identity else DIFFERS, note)


def _weights(run: Path, digest: str | None) -> Link:
    path, card = run / "model.safetensors", run / "model.json"
    note = ""
    if card.is_file():
        read = store.read_record(card, ModelCard)
        trained = f"{read.steps} steps, {read.samples} pairs, on {read.device}"
        note = f"imported as {read.variant}" if read.imported else trained
        note += f"; taken over from {read.taken_from}" if read.taken_from else ""
    if not path.is_file():
        return Link("weights", digest, str(path), ABSENT, note)
    return Link(
        "weights", digest, str(path), HOLDS if files.sha256(path) == digest else DIFFERS, note
    )


def _configuration(path: Path, digest: str | None) -> Link:
    from kbench.experiment.load import read_run

    if not path.is_file():
        return Link("configuration", digest, str(path), ABSENT)
    return Link(
        "configuration", digest, str(path), HOLDS if read_run(path).hash == digest else DIFFERS
    )


def _origin(run: Path) -> Link | None:
    """Return where an imported model's file came from, which is not looked at; None of a run that
    kbench trained.
    """
    path = run / "model.json"
    origin = store.read_record(path, ModelCard).imported if path.is_file() else None
    if origin is None:
        return None
    where, note = f"{origin.source}, {origin.file}", ", ".join(origin.data)
    return Link("imported from", origin.file_sha256, where, UNSEEN, f"trained on {note or '?'}")


def _start(path: Path) -> Link | None:
    """Return the imported model that a training started from, if it did."""
    from kbench.experiment.load import MODELS, read_run

    begun = read_run(path).start if path.is_file() else None
    if begun is None or begun.sha256 is None:
        return None
    weights, note = MODELS / begun.model / "model.safetensors", ", ".join(begun.data)
    state = ABSENT
    if weights.is_file():
        state = HOLDS if files.sha256(weights) == begun.sha256 else DIFFERS
    return Link("started from", begun.sha256, str(weights), state, f"trained on {note or '?'}")


def _corpus(path: Path) -> Link:
    from kbench.corpus import manifest

    if not path.is_file():
        return Link("corpus", None, str(path), ABSENT)
    verified = manifest.read(path)
    return Link("corpus", verified.sha256, str(path), HOLDS, verified.summary()[0])


def _environment(run: Path, digest: str | None) -> Link:
    if digest is None:
        return Link("environment", None, "", UNRECORDED)
    path = run / "environments" / f"{digest}.json"
    if not path.is_file():
        return Link("environment", digest, str(path), ABSENT)
    seen = files.read_json(path)
    if files.canonical_hash(seen) != digest:
        return Link("environment", digest, str(path), DIFFERS)
    packages = ", ".join(
        f"{name} {seen['packages'].get(name)}" for name in ("torch", "numpy", "open_clip_torch")
    )
    return Link(
        "environment",
        digest,
        str(path),
        HOLDS,
        f"{seen['machine']}, Python {seen['python']}, {packages}",
    )
