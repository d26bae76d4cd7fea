"""Components found by the name of their file: dropping a module into a package is all it takes to add one.

The module `wpse_gaussian` of a package holds the component `wpse-gaussian`: the class defined there whose
`name` says so. Names are read from the file system, so listing them imports nothing.
"""

import importlib
import pkgutil
from types import ModuleType

from kbench.errors import unknown


def names(package: ModuleType) -> list[str]:
    """Return the names of a package's components, sorted: its modules but `base`."""
    modules = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name.replace("_", "-") for name in modules if name != "base")


def load(package: ModuleType, what: str, name: str) -> type:
    """Return the component `name` of a package; UserError naming the nearest match if there is none."""
    if name not in names(package):
        raise unknown(what, name, names(package))
    module = importlib.import_module(f"{package.__name__}.{name.replace('-', '_')}")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__ and vars(value).get("name") == name
    ]
    if len(found) != 1:
        raise TypeError(f"{module.__file__} has to define exactly one class with name = {name!r}")
    return found[0]
