"""Who was started as a job of a Snakemake ends with it, and nobody else does."""

import os
import signal
import subprocess
import sys
import time

import pytest

from kbench import lifeline

JOB = (
    "from kbench import lifeline; import time; lifeline.watch(); print('here', flush=True);"
    " time.sleep(60)"
)
STARTER = f"""
import subprocess, sys, time
from kbench import lifeline
lifeline.hold()
job = subprocess.Popen([sys.executable, "-c", {JOB!r}])
print(job.pid, flush=True)
time.sleep(60)
"""


def gone(pid, seconds):
    for _ in range(int(seconds * 20)):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.whole
def test_a_job_ends_with_the_one_that_started_it():
    starter = subprocess.Popen([sys.executable, "-c", STARTER], stdout=subprocess.PIPE, text=True)
    pid = int(starter.stdout.readline())
    assert starter.stdout.readline() == "here\n"
    assert not gone(pid, 2)
    starter.send_signal(signal.SIGKILL)
    assert gone(pid, 5)
    starter.wait()


@pytest.mark.whole
def test_a_name_that_is_not_of_here_means_nothing():
    names = ["", "x", "1:2:another boot", f"{os.getpid()}:1:2", "99999999:1:2"]
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", JOB],
            env={**os.environ, lifeline.VARIABLE: name},
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    assert [job.stdout.readline() for job in jobs] == ["here\n"] * len(names)
    time.sleep(2.5)
    stayed = [name for name, job in zip(names, jobs, strict=True) if not gone(job.pid, 0.05)]
    for job in jobs:
        job.kill()
        job.wait()
    assert stayed == names
