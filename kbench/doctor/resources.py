"""What a machine has for jobs, and whether an experiment's fit: memory, disk, files, clock."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from kbench.container import apptainer
from kbench.datasets import dataset as known_datasets
from kbench.doctor.machine import Finding
from kbench.errors import UserError
from kbench.experiment.load import resolve, search
from kbench.experiment.schema import Experiment
from kbench.locations import Locations
from kbench.plan import cost, measured

DESCRIPTORS = 1024
"""Open files that a training with loaders and TensorBoard stays below."""

BATCHES = 2
"""Batches that each loader process holds ready in shared memory."""

SLOW = 20
"""Megabytes a second below which features and checkpoints wait for the disk."""

PROBE_BYTES = 32 << 20
SKEW = 2.0
"""Seconds that clock and file system may differ by: Snakemake compares the times of files."""


def examine(experiment: Experiment | None, locations: Locations) -> list[Finding]:
    """Return what jobs need of this machine, measured against an experiment if one is given."""
    return [
        _memory(experiment),
        _shared_memory(experiment),
        _descriptors(),
        *_speed(Path.cwd()),
        _clock(Path.cwd()),
        _runtime(),
        *(_of_experiment(experiment, locations) if experiment else ()),
    ]


def _memory(experiment: Experiment | None) -> Finding:
    free = available_bytes()
    if free is None:
        return Finding("memory", "note", "this system does not say how much is available")
    there = free / 1e9
    if experiment is None:
        return Finding("memory", "ok", f"{there:.1f} GB available")
    needed = experiment.resources.memory_gb
    text = f"{there:.1f} GB available, {needed} GB asked for by a training"
    if there >= needed:
        return Finding("memory", "ok", text)
    return Finding("memory", "bad", text, "end other programs, or set training.micro_batch_size")


def available_bytes() -> int | None:
    """Return the memory that new processes can have: the machine's, or the control group's rest;
    None where the system does not say.
    """
    try:
        free = psutil.virtual_memory().available
    except (OSError, psutil.Error):
        return None
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        rest = limit - int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return free
    return min(rest, free)


def _shared_memory(experiment: Experiment | None) -> Finding:
    if sys.platform != "linux":
        return Finding("/dev/shm", "ok", "this system shares memory without it")
    try:
        free = shutil.disk_usage("/dev/shm").free
    except OSError:
        return Finding("/dev/shm", "bad", "absent", "start the container with --shm-size or --ipc")
    if experiment is None or experiment.training is None:
        return Finding("/dev/shm", "ok", f"{free / 1e9:.2f} GB free")
    size = max(run.towers.image_size for run in resolve(experiment))
    loaders = experiment.resources.workers * experiment.resources.processes
    images = experiment.training.batch_size // experiment.resources.processes
    needed = loaders * BATCHES * images * 3 * size**2
    text = f"{free / 1e9:.2f} GB free, {needed / 1e9:.2f} GB for the batches of {loaders} loaders"
    if free >= needed:
        return Finding("/dev/shm", "ok", text)
    return Finding("/dev/shm", "bad", text, "set resources.workers lower, or enlarge /dev/shm")


def _descriptors() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{soft} may be open at once, {hard} if asked for"
    if soft >= DESCRIPTORS:
        return Finding("open files", "ok", text)
    return Finding("open files", "note", text, f"ulimit -n {min(hard, 4 * DESCRIPTORS)}")


def _speed(folder: Path) -> Iterator[Finding]:
    """Yield how fast a folder is written to and read from; nothing where it cannot be written."""
    content = os.urandom(PROBE_BYTES)
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".kbench-doctor-") as probe:
            started = time.perf_counter()
            probe.write(content)
            probe.flush()
            os.fsync(probe.fileno())
            written = PROBE_BYTES / 1e6 / (time.perf_counter() - started)
            if hasattr(os, "posix_fadvise"):  # elsewhere it is read from memory
                os.posix_fadvise(probe.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            started = time.perf_counter()
            Path(probe.name).read_bytes()
            read = PROBE_BYTES / 1e6 / (time.perf_counter() - started)
    except OSError as error:
        yield Finding("disk speed", "bad", str(error.strerror), "choose another folder")
        return
    text = f"writes {written:.0f} MB/s, reads {read:.0f} MB/s"
    fast = min(written, read) >= SLOW
    mend = "" if fast else "let results= and TMPDIR be on a disk of this machine"
    yield Finding("disk speed", "ok" if fast else "note", text, mend)


def _clock(folder: Path) -> Finding:
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".kbench-doctor-") as probe:
            probe.write(b"1")
            probe.flush()
            skew = os.stat(probe.name).st_mtime - time.time()
    except OSError as error:
        return Finding("clock", "note", f"not compared with the file system: {error.strerror}")
    text = f"the file system's differs by {abs(skew):.1f} s"
    if abs(skew) <= SKEW:
        return Finding("clock", "ok", text)
    return Finding("clock", "bad", text, "set the clocks: Snakemake compares the times of files")


def _runtime() -> Finding:
    program = apptainer.program()
    if program is None:
        return Finding("containers", "note", "no Apptainer; only --use-singularity needs it")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20)
    text = done.stdout.strip() or done.stderr.strip()
    return Finding("containers", "ok" if done.returncode == 0 else "bad", text)


def _of_experiment(experiment: Experiment, locations: Locations) -> Iterator[Finding]:
    for name in experiment.evaluation.datasets:
        dataset = known_datasets.get(name)
        if dataset.location == "data" and not experiment.evaluation.synthetic:
            yield _dataset(name, locations)
    yield _disk(experiment)


def _dataset(name: str, locations: Locations) -> Finding:
    dataset = known_datasets.get(name)
    try:
        return Finding(name, "ok", f"needed, present at {dataset.root(locations)}")
    except UserError as error:
        return Finding(name, "bad", str(error), f"kbench dataset fetch {name}, or --data FOLDER")


def _disk(experiment: Experiment) -> Finding:
    folders = sorted(path for path in Path("results").glob("*") if not path.match("*-smoke"))
    jobs = [job for folder in folders for job in measured.measured(folder)]
    pairs = cost.corpus_pairs(experiment, Path("results") / experiment.name)
    trials = [trial.config for trial in search(experiment)]
    needed = cost.total_bytes(cost.estimate(experiment, resolve(experiment), trials, pairs, jobs))
    free = shutil.disk_usage(Path.cwd()).free
    if needed is None:
        return Finding("disk", "note", f"{free / 1e9:.1f} GB free; what is needed is not known yet")
    text = f"{free / 1e9:.1f} GB free, {needed / 1e9:.2g} GB needed"
    if free > needed:
        return Finding("disk", "ok", text)
    return Finding("disk", "bad", text, "free some, or --config results=FOLDER on another disk")
