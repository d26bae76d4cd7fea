"""SIGKILL at random moments of a workflow; then the same command, until all is done.

The tables are those of a workflow that nobody disturbed, nothing finished is made again, and nobody
has to unlock or clean up. KBENCH_TRUST=1 kills fifty times; without it, four times.
"""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_workflow import checkout  # noqa: F401
from tiny import EXPERIMENT, ROOT

KILLS = 50 if "KBENCH_TRUST" in os.environ else 4
VICTIMS = ("group", "snakemake", "job", "terminal", "loader")
TIMES = ("started", "ended", "environment")


class Kills:
    """One working directory in which a workflow is killed again and again."""

    def __init__(self, folder: Path, results: str) -> None:
        self.folder, self.results = folder, folder / results / "tiny"
        words = ("--cores", "2", "--config", "experiment=tiny", f"results={results}")
        self.command = [sys.executable, "-m", "snakemake", *words]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}
        self.environment |= {"OMP_NUM_THREADS": "1"}

    def start(self) -> subprocess.Popen:
        """Start the workflow in a session of its own."""
        with (self.folder / "log").open("a") as log:
            return subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def jobs(self) -> list[int]:
        """Return the processes of this folder's jobs: of kbench commands, and their loaders."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and (entry / "cwd").readlink() == self.folder:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    if any(b"kbench" in word for word in words[:3]) and b"snakemake" not in words:
                        found.append(int(entry.name))
            except OSError:
                continue
        return sorted(found)

    def kill(self, workflow: subprocess.Popen, victim: str, draw: random.Random) -> None:
        """Kill somebody; a job or a loader only if there is one. A terminal tells the whole group, as
        it does on Ctrl-C.
        """
        if victim == "group":
            os.killpg(workflow.pid, signal.SIGKILL)
        elif victim == "terminal":
            os.killpg(workflow.pid, signal.SIGINT)
        elif victim == "snakemake":
            workflow.kill()
        elif jobs := self.jobs():
            os.kill(draw.choice(jobs) if victim == "job" else jobs[-1], signal.SIGKILL)

    def finished(self) -> dict[Path, int]:
        """Return when each finished training and each result was written."""
        patterns = ("runs/*/model.safetensors", "runs/*/evaluation/*/*.json")
        paths = [path for pattern in patterns for path in self.results.glob(pattern)]
        trained = {path.parent for path in self.results.glob("runs/*/model.json")}
        return {
            path: path.stat().st_mtime_ns
            for path in paths
            if path.suffix == ".json" or path.parent in trained
        }

    def table(self) -> list[dict[str, str]]:
        """Return the rows of the tidy table without times."""
        with (self.results / "table.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        return [{key: row[key] for key in row if key not in TIMES} for row in rows]


@pytest.mark.whole
def test_nothing_that_was_finished_is_lost_or_made_again(checkout):  # noqa: F811
    experiment = checkout / "workflow" / "experiments" / "tiny.yaml"
    experiment.write_text(EXPERIMENT.replace("epochs: 1,", "epochs: 6,"))
    undisturbed = Kills(checkout, "undisturbed")
    assert undisturbed.start().wait(300) == 0, (checkout / "log").read_text()
    draw, killed, round_ = random.Random(0), 0, 0
    while killed < KILLS:
        round_ += 1
        here = Kills(checkout, f"killed-{round_}")
        killed += disturb(here, draw, KILLS - killed)
        assert here.table() == undisturbed.table()


def disturb(here: Kills, draw: random.Random, most: int) -> int:
    """Kill at random moments until `most` are reached or the workflow is done; return how often."""
    killed = 0
    while True:
        before, workflow = here.finished(), here.start()
        try:
            if killed < most:
                workflow.wait(draw.uniform(0.5, 14))
            else:
                workflow.wait(300)
        except subprocess.TimeoutExpired:
            assert killed < most, "the workflow does not end"
            here.kill(workflow, VICTIMS[killed % len(VICTIMS)], draw)
            killed += 1
            end(here, workflow)
        now = here.finished()
        assert all(now.get(path) == written for path, written in before.items())
        if workflow.returncode == 0:
            return killed
        log = (here.folder / "log").read_text()
        assert "unlock" not in log and "incomplete" not in log.lower(), log[-3000:]


def end(here: Kills, workflow: subprocess.Popen) -> None:
    """Wait until the workflow and its jobs have ended by themselves."""
    workflow.wait(120)
    deadline = time.monotonic() + 15
    while here.jobs():
        assert time.monotonic() < deadline, f"jobs go on alone: {here.jobs()}"
        time.sleep(0.1)
