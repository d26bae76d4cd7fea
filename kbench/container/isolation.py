"""What a job in a container may see of the machine: the folders it is given, a few variables, the
GPUs. Nothing else: no home folder, no writable root, and no network, but for the tasks of one
training that meet over it.
"""

import os
import shlex
import tempfile
from collections.abc import Iterable
from pathlib import Path

from kbench import lifeline
from kbench.errors import UserError
from kbench.provenance import IMAGE_VARIABLE

GPU = Path("/dev/nvidiactl")
"""There when NVIDIA's driver is loaded."""

PASSED = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", lifeline.VARIABLE)
"""Variables of the host that a job's numbers depend on, or that say which devices are its own, who
chose them, and with whom it ends: Apptainer's jobs see the processes of the machine.
"""

STEP = (
    *("SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS"),
    *("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"),
)
"""Variables by which a task of a job step of Slurm knows which it is, and where the others are."""


def folders(paths: Iterable[Path], made: Iterable[Path] = ()) -> list[Path]:
    """Return the working directory and `paths` to be bound, each once: under its given name and
    under its real one.

    made: those that are made before a job starts, so that they may be missing. UserError if another
    one is missing, or one has a name that cannot be bound.
    """
    here = Path.cwd()
    later = {Path(os.path.abspath(path)) for path in made}
    named = [*(Path(os.path.abspath(path)) for path in paths), *later]
    outside = [path for path in named if not path.is_relative_to(here)]
    every = list(dict.fromkeys([here, *outside, *(path.resolve() for path in named)]))
    for path in every:
        if not path.is_dir() and path not in later | {path.resolve() for path in later}:
            raise UserError(
                f"the folder {path} does not exist, so the container cannot be given it"
            )
        if set(str(path)) & set(':,"'):
            raise UserError(
                f"the folder {path} cannot be bound into a container: its name has one of : , or a"
                " quote"
            )
    return every


def data(folder: Path | str | None) -> list[Path]:
    """Return a data folder and the folders that links in it lead to, as when each dataset lies on a
    disk of its own.
    """
    if not folder:
        return []
    entries = Path(folder).iterdir() if Path(folder).is_dir() else ()
    return [
        Path(folder),
        *(entry.resolve() for entry in entries if entry.is_symlink() and entry.is_dir()),
    ]


def one_of_several() -> bool:
    """Whether this process is one of several tasks of a job step of Slurm."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1


def environment(digest: str) -> dict[str, str]:
    """Return the variables of a job that this process starts itself."""
    names = (*PASSED, *(STEP if one_of_several() else ()))
    passed = {name: os.environ[name] for name in names if name in os.environ}
    return {"TMPDIR": tempfile.gettempdir(), IMAGE_VARIABLE: digest, **passed}


def gpu() -> bool:
    """Whether this machine has an NVIDIA GPU."""
    return GPU.exists()


def apptainer(binds: Iterable[Path], connected: bool = False) -> list[str]:
    """Return Apptainer's options for a job that sees only `binds`; connected: and the network."""
    return [
        *("--contain", "--cleanenv"),
        *(() if connected else ("--net", "--network", "none")),
        *(option for path in binds for option in ("--bind", str(path))),
    ]


def apptainer_shell(binds: Iterable[Path], digest: str) -> str:
    """Return Apptainer's options as shell words for Snakemake, which runs each job's command line
    in a shell.

    TMPDIR, threads and GPUs are the shell's to fill in: they are known where and when a job starts,
    not here.
    """
    fixed = shlex.join([*apptainer(binds), "--env", f"{IMAGE_VARIABLE}={digest}"])
    passed = [f'${{{name}+--env "{name}=${name}"}}' for name in PASSED]
    return " ".join(
        [
            fixed,
            '--bind "$TMPDIR" --env "TMPDIR=$TMPDIR"',
            *passed,
            f"$(test -e {GPU} && echo --nv)",
        ]
    )
