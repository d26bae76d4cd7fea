"""The kinds of component that can be checked, and where a file of one is tried."""

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from kbench import objective, similarity, tasks
from kbench.conformance import Check
from kbench.datasets import dataset as known_datasets
from kbench.errors import UserError
from kbench.plugins import Family


@dataclass(frozen=True)
class Kind:
    """A kind of component: what it is called, where its files belong, how one is found, and its
    suite's module.
    """

    what: str
    folder: Path
    suffix: str
    names: Callable[[], list[str]]
    load: Callable[[str], object]
    name_of: Callable[[str], str]
    suite: str
    base: str

    def checks(self) -> tuple[Check, ...]:
        """Return the checks."""
        return importlib.import_module(f"kbench.conformance.{self.suite}").CHECKS


def _of(family: Family, suite: str, base: str) -> Kind:
    return Kind(
        family.what, family.folder, ".py", family.names, family.load, family.name_of, suite, base
    )


KINDS = (
    _of(similarity.FAMILY, "similarity", "kbench.similarity.base.Similarity"),
    _of(objective.FAMILY, "objective", "kbench.objective.base.Objective"),
    _of(tasks.FAMILY, "task", "kbench.tasks.base.Task"),
    Kind(
        "dataset",
        known_datasets.ADDED,
        ".yaml",
        lambda: list(known_datasets.names()),
        known_datasets.get,
        lambda stem: stem,
        "dataset",
        "",
    ),
)


def is_file(given: str) -> bool:
    """Return whether what was given means a file and not a name."""
    return given.endswith((".py", ".yaml", ".yml"))


@contextlib.contextmanager
def in_place(given: str) -> Iterator[tuple[Kind, str]]:
    """Yield (kind, name) of the component in a file, in a working folder where that file is found.

    A file that lies where its kind belongs, in kbench or beside the experiments, is taken there;
    for any other, its folder is looked at as if it were that place. UserError if there is no such
    file, or no component in it.
    """
    path = Path(given)
    if not path.is_file():
        raise UserError(f"no such file: {given}")
    kind = _kind(path)
    name = kind.name_of(path.stem)
    if path.resolve().parent in (kind.folder.resolve(), *_own_folders(kind)):
        yield kind, name
        return
    if name in kind.names():
        raise UserError(
            f"{given} has the name of a {kind.what} that is there already, '{name}': give it"
            " another name"
        )
    with TemporaryDirectory() as folder:
        place = Path(folder) / kind.folder
        place.parent.mkdir(parents=True)
        place.symlink_to(path.resolve().parent)
        with contextlib.chdir(folder):
            yield kind, name


def _own_folders(kind: Kind) -> list[Path]:
    own = {
        "similarity": similarity.FAMILY.package,
        "objective": objective.FAMILY.package,
        "task": tasks.FAMILY.package,
    }
    return (
        [Path(own[kind.suite].__file__).parent]
        if kind.suite in own
        else [known_datasets.FOLDER.resolve()]
    )


def _kind(path: Path) -> Kind:
    """Return the kind of component that a file holds; a Python file is run to find out."""
    if path.suffix != ".py":
        return next(kind for kind in KINDS if kind.suffix == ".yaml")
    lies = [
        kind
        for kind in KINDS
        if path.resolve().parent in (kind.folder.resolve(), *_own_folders(kind))
    ]
    if lies:
        return lies[0]
    for kind in KINDS:
        if kind.base and any(
            issubclass(component, _class(kind.base)) for component in _classes(path)
        ):
            return kind
    legal = ", ".join(kind.base for kind in KINDS if kind.base)
    raise UserError(
        f"{path} defines no component: a class with a `name`, derived from one of {legal}"
    )


def _class(dotted: str) -> type:
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _classes(path: Path) -> list[type]:
    """Return the classes with a name that a file defines; UserError if it cannot be run."""
    spec = importlib.util.spec_from_file_location(f"_looked_at_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    finally:
        del sys.modules[spec.name]
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == spec.name
    ]
    return [component for component in own if "name" in vars(component)]
