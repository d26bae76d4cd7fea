"""What kbench sees of the machine, or of the container, that it runs in."""

import importlib.metadata
import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kbench import provenance
from kbench.container import isolation
from kbench.datasets import dataset as known_datasets
from kbench.errors import UserError
from kbench.locations import Locations

PACKAGES = ("torch", "torchvision", "open_clip_torch", "numpy", "scikit-learn", "snakemake")
LITTLE_DISK = 5
"""Free gigabytes of a folder below which a run of the demo's size may not fit."""


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked at, what was seen, and how it is mended."""

    name: str
    state: Literal["ok", "note", "bad"]
    text: str
    mend: str = ""


def examine(locations: Locations) -> list[Finding]:
    """Return everything a person would ask about when a job fails; 'bad' is what makes jobs
    fail.
    """
    temporary = Path(tempfile.gettempdir())
    return [
        Finding("kbench", "ok", f"{provenance.code_version()}, Python {platform.python_version()}"),
        *map(_package, PACKAGES),
        _gpu(),
        Finding("machine", "ok", provenance.machine()),
        Finding("image", "ok", provenance.image_digest() or "none: this is the host"),
        Finding(
            "root",
            "ok",
            "writable" if os.access("/", os.W_OK) and not _read_only("/") else "read-only",
        ),
        Finding("network", "ok", ", ".join(_interfaces()) or "none"),
        _folder("working folder", Path.cwd()),
        _folder("TMPDIR", temporary),
        _data(locations),
        *(
            _dataset(name, locations)
            for name in known_datasets.names()
            if known_datasets.get(name).location == "data"
        ),
    ]


def _package(name: str) -> Finding:
    try:
        return Finding(name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "bad", "not installed")


def _gpu() -> Finding:
    import torch

    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if names:
        return Finding("GPU", "ok", ", ".join(names))
    if isolation.gpu():
        return Finding(
            "GPU", "bad", f"{isolation.GPU} is there but torch {torch.__version__} sees no GPU"
        )
    return Finding("GPU", "note", "none")


def _read_only(path: str) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _interfaces() -> list[str]:
    """Return the network interfaces other than the loopback, from /proc/net/dev."""
    lines = (
        Path("/proc/net/dev").read_text(encoding="utf-8").splitlines()[2:]
        if Path("/proc/net/dev").exists()
        else []
    )
    return [name for name in (line.split(":")[0].strip() for line in lines) if name != "lo"]


def _folder(name: str, path: Path) -> Finding:
    if not os.access(path, os.W_OK) or _read_only(str(path)):
        return Finding(name, "bad", f"{path}, not writable")
    free = shutil.disk_usage(path).free / 1e9
    return Finding(name, "ok" if free >= LITTLE_DISK else "note", f"{path}, {free:.1f} GB free")


def _data(locations: Locations) -> Finding:
    try:
        return Finding("data", "ok", str(locations.folder("data")))
    except UserError as error:
        return Finding("data", "note" if locations.data is None else "bad", str(error))


def _dataset(name: str, locations: Locations) -> Finding:
    try:
        return Finding(name, "ok", f"present at {known_datasets.get(name).root(locations)}")
    except UserError:
        return Finding(name, "note", "absent")
