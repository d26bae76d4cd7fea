"""Modules by their names in the file system, and which of them some modules use."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from kbench.errors import UserError
from kbench.identity import source
from kbench.identity.source import ModuleSource


class Tree:
    """A package of the checkout or an installation, with the folders from which components join it.

    folders: dotted name of a package -> where its modules lie, in the order of the search.
    components: dotted name by which code asks for components -> the package that has one module for
    each.
    """

    def __init__(
        self, folders: Mapping[str, Sequence[Path]], components: Mapping[str, str] | None = None
    ) -> None:
        self.folders, self.components = folders, components or {}

    def path(self, module: str) -> Path | None:
        """Return the file of a module or package, None for what is no module of the tree."""
        for package in _ancestors(module):
            for folder in self.folders.get(package, ()):
                below = folder.joinpath(*module.removeprefix(package).split(".")[1:])
                paths = (below / "__init__.py", below.with_name(f"{below.name}.py"))
                if file := next((path for path in paths if path.is_file()), None):
                    return file
        return None

    def source(self, module: str) -> ModuleSource | None:
        """Return what a module does, None for what is no module of the tree."""
        path = self.path(module)
        return source.read(path, module) if path else None

    def used(self, entries: Iterable[str], without: Sequence[str]) -> dict[str, str]:
        """Return module -> hash of all modules that the entries import, directly or not, themselves
        included.

        without: modules and packages that do not count, and through which nothing is reached.
        Raises UserError if an entry is not there.
        """
        waiting, digests = sorted(entries), {}
        for entry in waiting:
            if self.path(entry) is None:
                raise UserError(
                    f"the module {entry} is not there: its code cannot be told from other code"
                )
        while waiting:
            module = waiting.pop()
            if module in digests or any(name in without for name in _ancestors(module)):
                continue
            seen = self.source(module)
            if seen is not None:
                digests[module] = seen.hash
                waiting += [*seen.imports, *self._components(seen)]
            # Importing a module runs its packages, and an import may name something inside a
            # module.
            waiting += list(_ancestors(module))[1:]
        return dict(sorted(digests.items()))

    def _components(self, seen: ModuleSource) -> Iterator[str]:
        for package, name in seen.chosen:
            if package in self.components:
                yield f"{self.components[package]}.{name.replace('-', '_')}"


def _ancestors(module: str) -> Iterator[str]:
    """Yield a dotted name and then the packages around it, the nearest first."""
    parts = module.split(".")
    for size in range(len(parts), 0, -1):
        yield ".".join(parts[:size])
