"""What the Snakefile needs to know: the experiment's runs, where files lie, and the options that
say so.
"""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from kbench.container import image
from kbench.corpus.kinds.world import WorldCorpus
from kbench.datasets import dataset as known_datasets
from kbench.errors import UserError, unknown
from kbench.experiment.load import load, resolve, search
from kbench.experiment.schema import Experiment
from kbench.files import canonical_hash
from kbench.plan.freeze import Frozen, Role, documents
from kbench.slurm import preflight, site
from kbench.slurm.request import Request, request

SETTINGS = {"experiment", "smoke", "data", "results", "image", "reuse"}
"""Keys of `snakemake --config`."""


class Workflow:
    """An experiment laid out for Snakemake; making one writes nothing."""

    def __init__(self, config: dict[str, Any], snakemake: Any = None) -> None:
        """config: that of `snakemake --config`; snakemake: the Snakefile's `workflow`. UserError
        for bad settings.
        """
        for key, value in config.items():
            if key not in SETTINGS:
                raise unknown("--config key", key, SETTINGS)
            _refuse_unusable(key, str(value))
        self.experiment = load(
            str(config.get("experiment", "demo")), smoke=_flag(config.get("smoke", False))
        )
        runs, trials = resolve(self.experiment), search(self.experiment)
        self.runs = [run.run for run in runs]
        self.trials = [trial.config.run for trial in trials]
        self.imported = [run.run for run in runs if run.imported]
        self.trained = [run.run for run in runs if not run.imported]
        self.results = Path(str(config.get("results", "results"))) / self.experiment.name
        _refuse_file(self.results)
        self.world_settings = world_of(self.experiment)
        self.data = str(config.get("data") or os.environ.get("KBENCH_DATA") or "") or None
        if self.data:
            _refuse_unusable("data", self.data)
        self.results_folders = [self.results.parent, *_given_folder(config.get("reuse"))]
        self.image = str(config.get("image") or image.DEFAULT)
        self.site = site.load()
        self._frozen = Frozen(
            self.results, documents(self.experiment, runs, trials), *_of(snakemake)
        )

    def path(self, *parts: str) -> str:
        """Return a path below the results folder; may hold wildcards."""
        return str(self.results.joinpath(*parts))

    def frozen(self, *parts: str) -> Callable[[Mapping[str, str]], str]:
        """Return an input function for a frozen file below the results folder; the parts may hold
        wildcards.
        """

        def path(wildcards: Mapping[str, str]) -> str:
            try:
                return self._frozen.path(
                    Path(*(part.format_map(dict(wildcards)) for part in parts))
                )
            except UserError as error:
                # An exception would be shown with where in Snakemake's code it was raised.
                print(f"kbench: {error}", file=sys.stderr)
                sys.exit(error.status)

        return path

    @property
    def frozen_config(self) -> Callable[[Mapping[str, str]], str]:
        """A run's configuration that needs no job to be written: that of a trial where there is a
        search.
        """
        part, runs = ("search", self.trials) if self.trials else ("runs", self.runs)
        return self.frozen(part, runs[0], "config.json")

    @property
    def world(self) -> str | None:
        """Folder of the embedded world, named by its parameters, or None if nothing needs it."""
        if self.world_settings is None:
            return None
        return self.path(f"world-{canonical_hash(self.world_settings.identity, 8)}")

    @property
    def world_ready(self) -> list[str]:
        """The file whose presence says that the world is complete; none if nothing needs it."""
        return [f"{self.world}.done"] if self.world else []

    @property
    def locations(self) -> list[str]:
        """Words of the options that tell a command where the data lie."""
        world = ["--world", self.world] if self.world else []
        data = ["--data", self.data] if self.data else []
        return world + data

    @property
    def reuse(self) -> list[str]:
        """Words of the options that tell a training where finished runs may be taken over from."""
        return [word for folder in self.results_folders for word in ("--reuse", str(folder))]

    @property
    def parts(self) -> list[tuple[str, str]]:
        """(dataset, record) of every part of the datasets that are too large for one job."""
        return [(name, f"{part}.json") for name, part in self.experiment.evaluation.parts()]

    def request(self, rule: str) -> Request:
        """Return what the jobs of a rule ask a scheduler for."""
        return request(rule, self.experiment.resources, self.site)

    def before_submission(self, rules: Iterable[str]) -> None:
        """Look at the cluster before the first job goes there; UserError if it would refuse the
        jobs of a rule.
        """
        preflight.check(self.request(rule) for rule in sorted(set(rules)))
        preflight.stop_leftovers([*self.runs, *self.trials])


def world_of(experiment: Experiment) -> WorldCorpus | None:
    """Return the embedded world that an experiment trains or is evaluated on, or None if it needs
    none.
    """
    corpus, evaluation = experiment.corpus, experiment.evaluation
    if isinstance(corpus, WorldCorpus):
        return corpus.model_copy(update={"name": "world"})
    generated = any(known_datasets.get(name).location == "world" for name in evaluation.datasets)
    return WorldCorpus(kind="world") if generated or evaluation.synthetic else None


def _of(snakemake: Any) -> tuple[Callable[[], Role], Callable[[], None]]:
    """Return what tells the role of this process, and what has to be called when files were
    frozen.
    """
    if snakemake is None:
        return lambda: Role.PLAN, lambda: None

    def role() -> Role:
        if not snakemake.is_main_process:
            return Role.JOB
        starts = snakemake.executor_plugin is not None and not (snakemake.dryrun or snakemake.touch)
        return Role.RUN if starts else Role.PLAN

    # Snakemake remembers which files are there, and has looked into the folder before it asks for
    # the first of ours.
    return role, lambda: snakemake.iocache.deactivate()


def _refuse_unusable(key: str, value: str) -> None:
    """Raise UserError for a setting that Snakemake would take for something else than a name."""
    if not value.strip():
        raise UserError(f"--config {key}= is empty: leave it out for its default")
    if set("{}") & set(value):
        raise UserError(
            f"--config {key}={value}: Snakemake takes what stands in braces for a wildcard; legal:"
            " no { or }"
        )
    if not value.isprintable():
        raise UserError(
            f"--config {key}={value!r} has a character that cannot be printed; legal: printable"
            " characters"
        )


def _refuse_file(folder: Path) -> None:
    """Raise UserError if a file is where the folder or one above it has to be."""
    there = next(path for path in (folder, *folder.parents, Path("/")) if path.exists())
    if not there.is_dir():
        raise UserError(f"cannot write {folder}: {there} is a file")


def _given_folder(reuse: object) -> list[Path]:
    if reuse is None:
        return []
    if not Path(str(reuse)).is_dir():
        raise UserError(f"--config reuse={reuse}: no such folder of results")
    return [Path(str(reuse))]


def _flag(value: object) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise UserError(f"--config smoke={value}: legal are true and false")
    return str(value).lower() == "true"
