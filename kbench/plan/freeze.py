"""The frozen configurations of an experiment: written once, when a real run starts, touching only
what changes.

Snakemake compares modification times, so a file that is rewritten with the same content would start
days of training again; a changed experiment file must only start what it changed. A dry run writes
nothing, and yet plans what a real run would do: a file that would change is stood in for by an
empty one elsewhere, which is new.
"""

import atexit
import functools
import json
import os
import tempfile
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

from kbench import files, lock
from kbench.experiment import differences
from kbench.experiment.schema import Experiment, RunConfig
from kbench.experiment.tuning import Trial


def documents(
    experiment: Experiment, runs: list[RunConfig], trials: list[Trial]
) -> dict[Path, str]:
    """Return the text of experiment.json, evaluation.json and runs/RUN/config.json by path below
    the results folder.

    Where there is a search, its runs are frozen as search/RUN/config.json, and the reported ones
    only when their settings are chosen.
    """
    section = experiment.evaluation.model_dump(mode="json")
    values: dict[Path, Any] = {
        Path("experiment.json"): describe(experiment, runs),
        Path("evaluation.json"): {"experiment": experiment.name, "evaluation": section},
    }
    configs = {Path("search", trial.config.run): trial.config for trial in trials}
    configs |= {Path("runs", run.run): run for run in runs if run.imported or not trials}
    values |= {
        folder / "config.json": config.model_dump(mode="json") for folder, config in configs.items()
    }
    return {path: _text(value) for path, value in values.items()}


def freeze(
    experiment: Experiment, runs: list[RunConfig], trials: list[Trial], results: Path
) -> None:
    """Write those frozen files whose content changes."""
    _write_all(results, documents(experiment, runs, trials))


def freeze_runs(runs: list[RunConfig], results: Path) -> None:
    """Write runs/RUN/config.json for each of the runs."""
    for run in runs:
        _write(results / "runs" / run.run / "config.json", _text(run.model_dump(mode="json")))


class Role(Enum):
    """What a process that reads the Snakefile is there for."""

    RUN = "start jobs"
    PLAN = "say which jobs would start"
    JOB = "do one job that another process has started"


class Frozen:
    """The frozen files as inputs of rules."""

    def __init__(
        self,
        results: Path,
        texts: dict[Path, str],
        role: Callable[[], Role],
        written: Callable[[], None],
    ) -> None:
        """role: asked when files are named, as a Snakefile is read before it is known; written:
        called after that.
        """
        self._results, self._texts, self._role, self._tell = results, texts, role, written
        self._written = False

    def path(self, below: Path) -> str:
        """Return where a file is, having written all in a process that starts jobs, and having the
        folder to itself: Busy if another one starts jobs there.

        In one that only plans, a stand-in where a real run would write the file.
        """
        role, path = self._role(), self._results / below
        if role is Role.RUN and not self._written:
            self._written = True
            lock.keep(self._results)
            if _write_all(self._results, self._texts):
                self._tell()
        planned = (
            role is Role.PLAN and below in self._texts and not _holds(path, self._texts[below])
        )
        return _stand_in() if planned else str(path)


@functools.cache
def _stand_in() -> str:
    """Return an empty file that is newer than every result, removed when this process ends."""
    handle, name = tempfile.mkstemp(prefix="kbench-planned-")
    os.close(handle)
    atexit.register(Path(name).unlink, missing_ok=True)
    return name


def describe(experiment: Experiment, runs: list[RunConfig]) -> dict[str, Any]:
    """Return the resolved experiment, as the comparison and the report read it."""
    return {
        "name": experiment.name,
        "description": experiment.description,
        "deviations": differences.of(experiment),
        "runs": [run.run for run in runs],
        "variants": [entry.name for entry in (*experiment.variants, *experiment.models)],
        "seeds": list(experiment.seeds),
        "datasets": list(experiment.evaluation.datasets),
        "experiment": experiment.model_dump(mode="json"),
    }


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def _write_all(results: Path, texts: dict[Path, str]) -> bool:
    """Write what changes; experiment.json, by which the comparison knows an experiment, last.
    Return if any did.
    """
    order = sorted(texts, key=lambda path: path.name == "experiment.json")
    return any([_write(results / path, texts[path]) for path in order])


def _write(path: Path, text: str) -> bool:
    if _holds(path, text):
        return False
    files.write_text(path, text)
    return True
