"""Jobs end with the Snakemake that started them on this machine, however it ended.

A Snakemake that is killed tells nobody; its jobs would go on, and compete with those of the next
one. The one that starts jobs leaves its name in their environment; each job looks once a second
whether it is still there, and else tells itself to stop, as a scheduler would: a training writes a
checkpoint. A name of another machine, which a cluster's jobs inherit, means nothing here.
"""

import os
import signal
import threading
import time
from pathlib import Path

VARIABLE = "KBENCH_STARTED_BY"
SECONDS = 1.0


def hold() -> None:
    """Let the jobs that this process starts end with it; where there is no /proc they do not."""
    name = _name(os.getpid())
    if name:
        os.environ[VARIABLE] = name


def watch() -> None:
    """Send this process SIGTERM once the one that started it as a job is gone."""
    name = os.environ.get(VARIABLE, "")
    pid = name.partition(":")[0]
    if pid.isdigit() and _name(int(pid)) == name:
        threading.Thread(target=_wait, args=(int(pid), name), daemon=True).start()


def _wait(pid: int, name: str) -> None:
    while _name(pid) == name:
        time.sleep(SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _name(pid: int) -> str:
    """Return what no other process has: number, start and boot of the machine; '' if it is gone."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The name of the program, in parentheses, may hold anything.
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state == "Z" else f"{pid}:{fields[18]}:{boot}"
