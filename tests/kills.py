"""Workflows that are killed at random moments, and what has to be as if they never had been."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tiny import ROOT

VICTIMS = ("group", "snakemake", "job", "terminal", "loader")
TIMES = ("started", "ended", "environment")


class Kills:
    """One working directory in which a workflow is killed again and again.

    name: of the folder of its results, below `results`; config: how `snakemake --config` names its
    experiment; image: in which its jobs run, None: on the host.
    """

    def __init__(
        self,
        folder: Path,
        results: str,
        cores: int,
        name: str,
        config: Sequence[str],
        image: Path | None = None,
    ) -> None:
        self.folder, self.results = folder, folder / results / name
        self.patience = 30 if image else 15  # seconds until a killed workflow's jobs are gone
        self.command = [sys.executable, "-m", "snakemake", "--cores", str(cores)]
        self.command += ["--use-singularity"] if image else []
        self.command += ["--config", *config, f"results={results}"]
        self.command += [f"image={image}"] if image else []
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}
        self.environment.pop("OMP_NUM_THREADS", None)

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


def until_done(
    checkout: Path, kills: int, name: str, config: Sequence[str], image: Path | None = None
) -> list[Kills]:
    """Kill a workflow until there were enough kills, always giving the same command again, and
    begin anew where it is done; return each that was done.
    """
    draw, killed, done = random.Random(0), 0, []
    while killed < kills:
        here = Kills(checkout, f"killed-{len(done)}", 2, name, config, image)
        killed += disturb(here, draw, kills - killed)
        done.append(here)
    return done


def undisturbed(checkout: Path, name: str, config: Sequence[str]) -> Kills:
    """Return the same workflow on one core, let alone."""
    alone = Kills(checkout, "results", 1, name, config)
    assert alone.start().wait(900) == 0, (checkout / "log").read_text()
    return alone


def disturb(here: Kills, draw: random.Random, most: int) -> int:
    """Kill at random moments until `most` are reached or the workflow is done; return how often."""
    killed = 0
    while True:
        before, workflow = here.finished(), here.start()
        try:
            workflow.wait(draw.uniform(0.5, 14) if killed < most else 900)
            assert workflow.returncode == 0, (here.folder / "log").read_text()[-3000:]
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
    deadline = time.monotonic() + here.patience
    while here.jobs():
        assert time.monotonic() < deadline, f"jobs go on alone: {here.jobs()}"
        time.sleep(0.1)
