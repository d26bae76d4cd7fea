"""What a job ran on: versions of what computes, the machine, threads, the checkout; no person, no
host, no folder.

Documents name it by its hash; runs/RUN/environments/HASH.json holds it.
"""

import functools
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from kbench import files, provenance

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
        "packages": _packages(),
        "libjpeg": features.version("libjpeg_turbo") or features.version("jpg"),
        "machine": provenance.machine(),
        "device": provenance.device_name(device),
        "cuda": torch.version.cuda if str(device).startswith("cuda") else None,
        "threads": {"torch": torch.get_num_threads(), THREADS: os.environ.get(THREADS)},
        "checkout": _checkout(),
    }


def _packages() -> dict[str, str]:
    """Return the version of every installed package, of what is imported first.

    By the names of their folders (PyPA, Recording installed projects): to open each one's metadata
    would take a tenth of a second of every job.
    """
    installed: dict[str, str] = {}
    for folder in sys.path:
        for path in sorted(Path(folder).glob("*.dist-info")):
            name, _, version = path.name.removesuffix(".dist-info").partition("-")
            installed.setdefault(name, version)
    return dict(sorted(installed.items()))


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
