"""What a compute node has; `kbench doctor --slurm` runs this there. Prints one line of JSON.

It imports nothing but the standard library until it has to, so that a missing package is a finding
and not a failure.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path


def look(folder: Path, token: str) -> dict[str, object]:
    """Return what a job started in `folder` finds. `token` is the content of a file that the login
    node wrote there.
    """
    temporary = tempfile.gettempdir()
    return {
        "host": socket.gethostname(),
        "reads": _content(folder / "login") == token,
        "writes": _write(folder / "node", token),
        "python": sys.version.split()[0],
        "kbench": _kbench(),
        "containers": [
            name for name in map(_container, ("apptainer", "singularity", "docker")) if name
        ],
        "temporary": temporary,
        "free_gb": shutil.disk_usage(temporary).free / 1e9,
        "gpus": sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*")),
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }


def _content(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return None


def _write(path: Path, token: str) -> bool:
    try:
        path.write_text(token, encoding="ascii")
    except OSError:
        return False
    return True


def _kbench() -> str | None:
    try:
        from kbench import provenance

        return provenance.code_version()
    except ImportError:
        return None


def _container(name: str) -> str | None:
    program = shutil.which(name)
    if program is None:
        return None
    said = subprocess.run(
        [program, "--version"], capture_output=True, text=True, timeout=20
    ).stdout.strip()
    return said.splitlines()[0] if said else name


if __name__ == "__main__":
    print(json.dumps(look(Path(sys.argv[1]), sys.argv[2])))
