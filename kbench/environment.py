"""What a job ran on: versions of what computes, the machine, threads, the checkout; no person, no
host, no folder.

Documents name it by its hash; runs/RUN/environments/HASH.json holds it.
"""

import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from kbench import files, provenance

PACKAGES = (
    "kbench",
    "torch",
    "torchvision",
    "open_clip_torch",
    "timm",
    "numpy",
    "scipy",
    "pillow",
    "scikit-learn",
)
THREADS = "OMP_NUM_THREADS"


def record(run: Path, device: str = "cpu") -> str:
    """Write the environment of this process into a run's folder and return its hash, 12 hexadecimal
    digits.

    device: what the job computes on; the accelerator's name and CUDA's version are recorded with
    'cuda'.
    """
    seen = describe(device)
    digest = files.canonical_hash(seen)
    path = run / "environments" / f"{digest}.json"
    if not path.is_file():
        files.write_json(path, seen)
    return digest


def describe(device: str = "cpu") -> dict[str, Any]:
    """Return the environment of this process."""
    import torch
    from PIL import features

    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: _version(name) for name in PACKAGES},
        "libjpeg": features.version("libjpeg_turbo") or features.version("jpg"),
        "machine": provenance.machine(),
        "device": provenance.device_name(device),
        "cuda": torch.version.cuda if str(device).startswith("cuda") else None,
        "threads": {"torch": torch.get_num_threads(), THREADS: os.environ.get(THREADS)},
        "checkout": _checkout(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def _checkout() -> dict[str, str | bool] | None:
    """Return the commit and whether tracked files of the checkout differ from it; None for an
    installation.
    """
    folder = Path(__file__).parents[1]
    if not (folder / ".git").exists():
        return None
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {
            "commit": commit,
            "changed": bool(_git(folder, "status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=20
    ).stdout.strip()
