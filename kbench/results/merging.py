"""Several machines' results of one experiment as one: the seeds of all.

What must be the same: the experiment but for its seeds and resources, the frozen evaluation, corpus
and search for settings, and each variant's configuration but for the seed. A run that several have
must be one and the same in all. What results must not differ in besides, data and code above all,
is looked at where they are read (`results.mixture`).
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kbench import files
from kbench.errors import UserError
from kbench.records.documents import ExperimentRecord
from kbench.results import bundle, looks, store
from kbench.results.store import Store

OF_THE_MACHINE = ("seeds", "resources")
"""Sections of an experiment in which the parts may differ."""

SHARED = ("evaluation.json", "corpus.json", "tuning.json")


@dataclass(frozen=True)
class Part:
    """One machine's results: what it was asked for by, and where its files are."""

    given: Path
    store: Store

    @property
    def record(self) -> ExperimentRecord:
        """What the experiment set out to do there."""
        return self.store.experiment


def merge(sources: Sequence[Path], output: Path) -> ExperimentRecord:
    """Write the results of all sources, folders or bundles, into a new folder and return what it is
    a record of.

    Raises UserError, naming both sides, if they are not of one experiment, if one run differs in
    two of them, or if the folder is there already.
    """
    if len(sources) < 2:
        raise UserError(f"{sources[0]} alone: give at least two results folders or bundles")
    if output.exists():
        raise UserError(f"{output} is there already: merged results need a new folder")
    # Each part is looked at by itself first, so that what is wrong within one is said of that one.
    parts = [Part(path, store.load(path)) for path in sources]
    record = _merged(parts)
    if output.name != record.name:
        raise UserError(
            f"{output} cannot hold experiment {record.name}: name a folder .../{record.name}"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{output.name}.", suffix=".part", dir=output.parent))
    try:
        for relative, path in _files(parts).items():
            (made / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, made / relative)
        files.write_json(made / "experiment.json", record.model_dump(mode="json"))
        if pooled := looks.pooled(part.store for part in parts):
            files.write_json(made / looks.FILE, pooled.model_dump(mode="json"))
        store.load(made)
        made.chmod(0o777 & ~files.umask())
        made.rename(output)
    except OSError as error:
        raise files.unwritable(output, error) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return record


def _merged(parts: Sequence[Part]) -> ExperimentRecord:
    """Return the record of all parts' runs; UserError if they are not of one experiment."""
    first, *others = parts
    for part in others:
        _refuse_other(first, part, "name", first.record.name, part.record.name)
        _refuse_other(first, part, "experiment", _common(first), _common(part))
        for name in SHARED:
            ours, theirs = _document(first, name), _document(part, name)
            # Of a part that has not got so far, nothing can differ yet.
            if None not in (ours, theirs):
                _refuse_other(first, part, name, ours, theirs)
    _refuse_other_configurations(parts)
    runs = dict.fromkeys(run for part in parts for run in part.record.runs)
    seeds = sorted({seed for part in parts for seed in part.record.seeds})
    return first.record.model_copy(
        update={
            "runs": _in_order(list(runs), parts, first.record.variants),
            "seeds": seeds,
            "experiment": first.record.experiment | {"seeds": seeds},
        }
    )


def _common(part: Part) -> dict:
    asked = part.record.experiment
    return {key: value for key, value in asked.items() if key not in OF_THE_MACHINE}


def _document(part: Part, name: str) -> object:
    path = part.store.place / name
    return files.read_json(path) if path.is_file() else None


def _refuse_other(first: Part, part: Part, what: str, ours: object, theirs: object) -> None:
    if ours == theirs:
        return
    seen = next(files.differences(theirs, ours), "it")
    raise UserError(
        f"{first.given} and {part.given} are not results of one experiment: {what} differs, {seen}"
    )


def _refuse_other_configurations(parts: Sequence[Part]) -> None:
    """Raise UserError if a variant was configured differently in two parts, but for the seed."""
    seen: dict[str, tuple[Part, dict]] = {}
    for part in parts:
        for run in part.record.runs:
            configuration = part.store.config(run)
            if not configuration:
                continue
            alike = {key: value for key, value in configuration.items() if key != "seed"}
            other, expected = seen.setdefault(configuration["variant"], (part, alike))
            what = f"the configuration of {configuration['variant']}"
            _refuse_other(other, part, what, expected, alike)


def _in_order(runs: list[str], parts: Sequence[Part], variants: Sequence[str]) -> list[str]:
    """Return runs by variant, in the experiment's order, and seed; those not yet configured keep
    their place at the end.
    """
    places = {}
    for part in parts:
        for run in part.record.runs:
            configuration = part.store.config(run)
            if configuration and configuration["variant"] in variants:
                place = (variants.index(configuration["variant"]), configuration["seed"])
                places[run] = place
    return sorted(runs, key=lambda run: places.get(run, (len(variants), 0)))


def _files(parts: Sequence[Part]) -> dict[str, Path]:
    """Return the files of all parts by their place; UserError if two have a run that differs."""
    chosen: dict[str, tuple[Part, Path]] = {}
    for part in parts:
        for relative, path in _members(part.store.place):
            other, there = chosen.setdefault(relative, (part, path))
            if other is not part and relative.startswith("runs/"):
                _refuse_another(relative, other, part, there, path)
    return {relative: path for relative, (_, path) in chosen.items()}


def _members(place: Path) -> Iterator[tuple[str, Path]]:
    for pattern in (*bundle.DOCUMENTS, *bundle.ARRAYS):
        for path in sorted(place.glob(pattern)):
            yield str(path.relative_to(place)), path


def _refuse_another(relative: str, first: Part, part: Part, one: Path, other: Path) -> None:
    """Raise UserError if a run's model or a result is not the same in two parts; when and on what
    it was made may differ.
    """
    if compared := _compared(relative):
        ours, theirs = (_some(files.read_json(path), compared) for path in (one, other))
        _refuse_other(first, part, relative, ours, theirs)


def _compared(relative: str) -> tuple[str, ...]:
    """Return the keys of a document that are the same wherever the same run is made."""
    if relative.endswith("/model.json"):
        return ("config_hash", "checkpoint_sha256")
    result = "/evaluation/" in relative and relative.endswith(".json")
    return ("metrics",) if result else ()


def _some(document: dict, keys: tuple[str, ...]) -> dict:
    return {key: document.get(key) for key in keys}
