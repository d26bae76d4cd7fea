"""torch for modules that are read while an experiment is planned: imported when something of it is
first used.

Planning reads what components declare (names, settings, defaults), hundreds of times in a run's
life: once for each job that a scheduler places. Importing torch takes longer than that and 200 MB.
A component that imports torch itself works all the same; planning an experiment that names it then
waits for torch.
"""

from __future__ import annotations

import functools
import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self


class _Lazy:
    """A module in whose place its name stands until something of it is used."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._module), name)


if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.nn import functional
else:
    torch, nn, functional = _Lazy("torch"), _Lazy("torch.nn"), _Lazy("torch.nn.functional")


def without_torch(module: str) -> ModuleType:
    """Return a library that asks for torch as it is imported and does without where there is none;
    it gets torch only where that is there already.
    """
    if "torch" in sys.modules:
        return importlib.import_module(module)
    sys.modules["torch"] = None
    try:
        return importlib.import_module(module)
    finally:
        del sys.modules["torch"]


class Module:
    """A torch.nn.Module whose class can be declared without torch: its instances are made
    modules.
    """

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        return object.__new__(_as_module(cls))


@functools.cache
def _as_module(declared: type) -> type:
    from torch import nn

    if issubclass(declared, nn.Module):
        return declared
    copied = {key: getattr(declared, key) for key in ("__module__", "__qualname__", "__doc__")}
    return type(declared)(declared.__name__, (declared, nn.Module), copied)
