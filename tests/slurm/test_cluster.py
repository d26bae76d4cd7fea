"""The workflow on a real Slurm, which tests/slurm/ci.sh starts."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny import EXPERIMENT, ROOT

pytestmark = pytest.mark.skipif(
    "KBENCH_SLURM" not in os.environ, reason="needs a Slurm of its own: tests/slurm/ci.sh starts one"
)

SLOW = EXPERIMENT.replace("[cosine,", "[{similarity: cosine, label: plain},").replace("epochs: 1,", "epochs: 20,")
SITE = "{first_check_seconds: 3, retries: 2, rules: {pretrain: {memory_gb: 2}}}"


class Checkout:
    """A working directory with an experiment and a site."""

    def __init__(self, folder, experiment, site=SITE):
        self.folder = folder
        shutil.copytree(ROOT / "workflow", folder / "workflow")
        shutil.copy(ROOT / "Snakefile", folder)
        (folder / "profiles").symlink_to((ROOT / "profiles").readlink())
        (folder / "mine.yaml").write_text(experiment)
        (folder / "slurm-site.yaml").write_text(site)
        self.results = Path("results/tiny")
        self.variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.variables["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def command(self, *arguments):
        profile = ("--profile", "workflow/profiles/slurm", "--config", "experiment=mine.yaml")
        return [sys.executable, "-m", "snakemake", *map(str, arguments), *profile]

    def snakemake(self, *arguments):
        return subprocess.run(
            self.command(*arguments), cwd=self.folder, env=self.variables, capture_output=True, text=True, timeout=400
        )

    def start(self, *arguments):
        """Start snakemake in a session of its own, its output in a file."""
        with (self.folder / "snakemake.log").open("w") as log:
            self.workflow = subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                env=self.variables,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.workflow

    def log(self):
        return (self.folder / "snakemake.log").read_text()

    def prepare(self):
        """Make world and corpus here; return the runs' folders, relative to the working directory."""
        words = ("--cores", "2", str(self.results / "corpus.json"), "--config", "experiment=mine.yaml")
        subprocess.run(
            [sys.executable, "-m", "snakemake", *words],
            cwd=self.folder,
            env=self.variables,
            check=True,
            capture_output=True,
            timeout=200,
        )
        return sorted(path.relative_to(self.folder) for path in (self.folder / self.results / "runs").iterdir())

    def undisturbed(self, run):
        """Return a run's weights and metrics as an undisturbed process makes them."""
        copy = self.folder / "undisturbed" / run.name
        copy.mkdir(parents=True)
        shutil.copy(self.folder / run / "config.json", copy)
        world = next((self.folder / self.results).glob("world-*[!e]"))
        manifest = self.folder / self.results / "corpus.json"
        words = ("pretrain", "--run", copy, "--manifest", manifest, "--world", world)
        subprocess.run([sys.executable, "-m", "kbench", *words], env=self.variables, check=True, timeout=300)
        return outcome(copy)

    def training(self, run):
        """Wait until a run has trained some steps; return the process that trains it."""
        path = self.folder / run / "metrics.jsonl"
        until(lambda: self.workflow.poll() is not None or (path.exists() and path.read_text().count("\n") >= 1))
        assert self.workflow.poll() is None, self.log()
        return next(pid for pid, words in processes() if "pretrain" in words and str(run) in words)


def processes():
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_text().split("\0")
            except OSError:
                continue
            if words[0].endswith(("python", "python3", Path(sys.executable).name)) and "kbench" in words:
                yield int(folder.name), words


def until(condition, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def job(run):
    """Return the id of the job that trains a run."""
    lines = subprocess.check_output(["squeue", "--noheader", "--format=%i %k"], text=True).splitlines()
    return next(line.split()[0] for line in lines if line.endswith(run.name))


def outcome(folder):
    """Return everything about a trained run that must not depend on how often it was stopped."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    timeless = [
        {k: v for k, v in line.items() if k in ("step", "loss", "gradient_norm", "logit_scale")} for line in lines
    ]
    return (folder / "model.safetensors").read_bytes(), timeless


def test_preempted_requeued_and_timed_out_runs_end_as_if_nothing_had_been(tmp_path):
    site = SITE.replace("memory_gb: 2", "memory_gb: 2, hours: 0.0167")
    here = Checkout(tmp_path, SLOW.replace("seeds: [0]", "seeds: [0, 1]"), site)
    terminated, requeued, late, _ = runs = here.prepare()
    workflow = here.start(*(run / "model.json" for run in runs[:3]))
    subprocess.run(["scancel", "--signal=TERM", job_when_training(here, terminated)], check=True)
    subprocess.run(["scontrol", "requeue", job_when_training(here, requeued)], check=True)
    # Stopped in its tracks, this one cannot be done within its minute.
    os.kill(here.training(late), signal.SIGSTOP)
    assert workflow.wait(400) == 0, here.log()
    log = here.log()
    assert log.count("Trying to restart job") == 2, log
    for run in runs[:3]:
        text = (here.folder / here.results / "logs" / "pretrain" / "runs" / f"{run.name}.log").read_text()
        assert "going on from step" in text, (run, text)
        assert outcome(here.folder / run) == here.undisturbed(run)


def job_when_training(here, run):
    here.training(run)
    return job(run)
