"""Components found by the name of their file: dropping a module into a folder is all it takes to
add one.

The module `wpse_gaussian` holds the component `wpse-gaussian`: the class defined there whose `name`
says so. It lies in kbench's own package of its kind, or in a folder of the working folder that
joins that package; or an installed package announces it as an entry point. Names are read from the
file system, so listing them imports nothing.
"""

import functools
import importlib
import importlib.metadata
import os
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from kbench.errors import UserError, unknown

OWN = "kbench"
"""Where the components of kbench itself come from."""

_joined: dict[str, str | None] = {}
"""Name of a package -> the folder that has joined it."""


@dataclass(frozen=True)
class Component:
    """A component that was found: its name, its module, where it comes from, and why it must not be
    used, if so.

    file: the file of one that lies in the working folder.
    """

    name: str
    module: str
    origin: str
    file: str | None = None
    problem: str = ""


@dataclass(frozen=True)
class Family:
    """All components of one kind.

    package: the package with kbench's own; what: the kind in words; folder: where further files are
    looked for, relative to the working folder; group: the entry points under which installed
    packages announce theirs; separator: what the names have where the files' names have '_'.
    """

    package: ModuleType
    what: str
    folder: Path | None = None
    group: str | None = None
    separator: str = "-"

    def names(self) -> list[str]:
        """Return the names of all components, sorted."""
        return sorted(self.found())

    def found(self) -> dict[str, Component]:
        """Return every component by its name; one that takes the name of another has a problem."""
        outside = self._join()
        # Reports ask a million times. Files that are added while a process runs change the answer.
        files = tuple(sorted(os.listdir(outside))) if outside else ()
        return _found(self, tuple(self.package.__path__), outside, files)

    def name_of(self, module: str) -> str:
        """Return the name of the component in a module: wpse-gaussian in wpse_gaussian."""
        return module.replace("_", self.separator)

    def load(self, name: str) -> type:
        """Return the class of a component; UserError if there is none, naming the nearest match, or
        it is broken.
        """
        components = self.found()
        if name not in components:
            raise unknown(self.what, name, components)
        component = components[name]
        if component.problem:
            raise UserError(component.problem)
        if component.origin == OWN:
            return _defined(importlib.import_module(component.module), name)
        try:
            return _defined(self._imported(component), name)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise UserError(
                f"{self.what} '{name}' of {component.origin} cannot be loaded: {reason}"
            ) from error

    def _imported(self, component: Component) -> ModuleType:
        """Import a component from outside; one of the same name from another working folder is
        forgotten.
        """
        known = sys.modules.get(component.module)
        if component.file and known is not None and known.__file__ != component.file:
            del sys.modules[component.module]
        return importlib.import_module(component.module)

    def _all(self, outside: str | None) -> Iterator[Component]:
        """Yield the components, also those that take the name of another: kbench's own, those of
        the folder that joined the package, those of installed packages.
        """
        package = self.package.__name__
        for module in pkgutil.iter_modules(
            [path for path in self.package.__path__ if path != outside]
        ):
            if module.name != "base":
                yield Component(self.name_of(module.name), f"{package}.{module.name}", OWN)
        for module in pkgutil.iter_modules([outside] if outside else []):
            file = f"{module.name}.py"
            where = str(self.folder / file), str(Path(outside, file))
            yield Component(self.name_of(module.name), f"{package}.{module.name}", *where)
        for name, module, package in _announced(self.group) if self.group else ():
            yield Component(name, module, f"the package {package}")

    def _join(self) -> str | None:
        """Let the folder join the package, so that its files import each other as kbench's own do;
        return its path.
        """
        name = self.package.__name__
        path = str(self.folder.resolve()) if self.folder and self.folder.is_dir() else None
        before = _joined.get(name)
        if before != path:
            others = [other for other in self.package.__path__ if other != before]
            self.package.__path__ = [*others, *([path] if path else [])]
            _joined[name] = path
        return path


@functools.lru_cache(maxsize=64)
def _found(
    family: Family, path: tuple[str, ...], outside: str | None, files: tuple[str, ...]
) -> dict[str, Component]:
    """Return what the family finds with its package on this path, and these files in the folder
    that joined it.
    """
    components: dict[str, Component] = {}
    for component in family._all(outside):
        first = components.setdefault(component.name, component)
        if first is not component:
            problem = (
                f"{component.origin} has a {family.what} '{component.name}', a name that is"
                f" taken by {first.origin}: give it another name"
            )
            components[component.name] = replace(first, problem=problem)
    return components


@functools.cache
def _announced(group: str) -> tuple[tuple[str, str, str], ...]:
    """Return (name, module, package) of a group's entry points; looking through all packages takes
    a while.
    """
    entries = importlib.metadata.entry_points(group=group)
    return tuple(
        (entry.name, entry.module, entry.dist.name if entry.dist else entry.module)
        for entry in entries
    )


@functools.cache
def _defined(module: ModuleType, name: str) -> type:
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and vars(value).get("name") == name
    ]
    if len(classes) != 1:
        raise TypeError(f"{module.__file__} has to define exactly one class with name = {name!r}")
    return classes[0]
