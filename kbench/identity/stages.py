"""The stages of the work, training, features and one evaluation task, and the modules that each of
them uses.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from kbench import objective, similarity, tasks
from kbench.identity.code import Code
from kbench.identity.tree import Tree
from kbench.plugins import Family
from kbench.similarity import EVALUATION_ESTIMATOR

if TYPE_CHECKING:
    from kbench.experiment.schema import Evaluation, RunConfig

PACKAGE = Path(__file__).parents[1]

DECIDES_NOTHING = (
    "kbench.devices",
    "kbench.document",
    "kbench.download",
    "kbench.environment",
    "kbench.errors",
    "kbench.files",
    "kbench.identity",
    "kbench.lazily",
    "kbench.locations",
    "kbench.lock",
    "kbench.memory",
    "kbench.plugins",
    "kbench.progress",
    "kbench.provenance",
    "kbench.records",
    "kbench.results",
    "kbench.yaml_file",
    # What an experiment file comes to is frozen with every default written out, and has a hash of
    # its own.
    "kbench.datasets.suites",
    "kbench.experiment",
    "kbench.measures.settings",
)
"""What tells, finds, writes and shows, but computes nothing that a result consists of."""

COMPONENTS = {
    "kbench.similarity": "kbench.similarity.variants",
    "kbench.similarity.kernels": "kbench.similarity.kernels",
    "kbench.similarity.estimators": "kbench.similarity.estimators",
    "kbench.objective": "kbench.objective",
    "kbench.tasks": "kbench.tasks",
}
"""Where code asks for a component by name -> the package with one module for each."""

PARTS = ("kbench.similarity.kernels", "kbench.similarity.estimators")
"""Packages whose components a similarity's settings name."""

IMPORTING = "kbench.models.convert"
"""What stands where code that trains would, of a model that was trained elsewhere."""

TEST_COLUMN = "kbench.pretrain.test_column"
WHOLE_IMAGE = "kbench.pretrain.whole_image"
"""What only some trainings use: see `Stages.training`."""


class Stages:
    """The stages as one tree of modules has them; by default that of the kbench that runs."""

    def __init__(self, package: Path = PACKAGE) -> None:
        folders = {"kbench": [package]}
        for family in (similarity.FAMILY, objective.FAMILY, tasks.FAMILY):
            name = family.package.__name__
            folders[name] = [package.joinpath(*name.split(".")[1:]), family.folder]
            # What an installed package announces is followed through that package, and no further.
            for component in family.found().values():
                top = component.module.partition(".")[0]
                if top not in folders and (spec := importlib.util.find_spec(top)) and spec.origin:
                    file = Path(spec.origin)
                    folders[top] = [
                        file.parent if file.name == "__init__.py" else file.with_suffix("")
                    ]
        self.tree = Tree(folders, COMPONENTS)

    def training(self, config: RunConfig) -> Code:
        """Return the code that trains a run."""
        if config.imported:
            return self._used((IMPORTING, *self._components(config)))
        # Only one rule of selection looks at an evaluation set, and only that one uses what reads
        # them; and only a start from an imported model has images made as in evaluation.
        unused = () if config.training.selection == "test-column" else (TEST_COLUMN,)
        unused += () if config.start else (WHOLE_IMAGE,)
        corpus = type(config.corpus).__module__
        return self._used(("kbench.pretrain.loop", corpus, *self._components(config)), unused)

    def features(self, config: RunConfig, evaluation: Evaluation) -> Code:
        """Return the code that encodes evaluation sets with a run's weights."""
        return self._used(("kbench.evaluate.features", *self._evaluated(config, evaluation)))

    def task(self, config: RunConfig, evaluation: Evaluation, task: str) -> Code:
        """Return the code that scores a task from a run's features."""
        return self._used(
            (_named("kbench.tasks", tasks.FAMILY, task), *self._evaluated(config, evaluation))
        )

    def current(self, code: Code) -> bool:
        """Return whether the modules of a code are today's."""
        sources = ((self.tree.source(module), digest) for module, digest in code.modules.items())
        return all(source is not None and source.hash == digest for source, digest in sources)

    def _used(self, entries: Iterable[str], unused: tuple[str, ...] = ()) -> Code:
        modules = self.tree.used(entries, (*DECIDES_NOTHING, *unused))
        # The package itself holds the version alone, which a release changes without changing a
        # number.
        return Code({module: digest for module, digest in modules.items() if module != "kbench"})

    def _components(self, config: RunConfig) -> list[str]:
        """Return the modules of the components that a run's configuration names."""
        named = (
            _named("kbench.similarity", similarity.FAMILY, config.similarity),
            _named("kbench.objective", objective.FAMILY, config.objective),
        )
        return [*named, *self._parts(config.similarity_settings.values())]

    def _evaluated(self, config: RunConfig, evaluation: Evaluation) -> list[str]:
        estimator = evaluation.random_features.estimator or EVALUATION_ESTIMATOR
        return [*self._components(config), *self._parts([estimator])]

    def _parts(self, values: Iterable[object]) -> list[str]:
        """Return the modules of the kernels and estimators that are among the values of
        settings.
        """
        names = [value for value in values if isinstance(value, str)]
        modules = [component(package, name) for package in PARTS for name in names]
        return [module for module in modules if self.tree.path(module)]


def _named(package: str, family: Family, name: str) -> str:
    """Return the module of a similarity, an objective or a task, which need not be one of kbench's
    package.
    """
    known = family.found().get(name)
    return known.module if known else component(package, name)


def component(package: str, name: str) -> str:
    """Return the module of a component, given where code asks for it and its name."""
    return f"{COMPONENTS[package]}.{name.replace('-', '_')}"
