"""The kinds of corpus an experiment file may name: every module of this folder defines one."""

import importlib
import pkgutil
from typing import Annotated, Union

from pydantic import Field

from kbench.corpus.base import Corpus

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

AnyCorpus = Annotated[Union[tuple(Corpus.__subclasses__())], Field(discriminator="kind")]  # noqa: UP007
"""A corpus of any kind, told apart by its `kind` key."""
