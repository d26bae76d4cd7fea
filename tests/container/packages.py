"""The host's Python packages beside the image's."""

import importlib.metadata

from kbench.container import record
from kbench.container.image import Image


def differing(sif: Image) -> dict[str, tuple[str, str]]:
    """Return {package: (host's version, image's)} where they differ: the first thing to look at if
    numbers do.

    setuptools, which builds kbench's wheel, comes with Python on the host.
    """
    inside = record.read(sif.path.parent).packages
    pairs = {name: (_version(name), inside[name]) for name in inside if name != "setuptools"}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
