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
    "KBENCH_SLURM" not in os.environ,
    reason="needs a Slurm of its own: tests/slurm/ci.sh starts one",
)

SLOW = (
    EXPERIMENT.replace(
        "variants: [cosine, {similarity: wpse-gaussian, set: {features: 32}}]", "variants: [cosine]"
    )
    .replace("seeds: [0]", "seeds: [0, 1, 2]")
    .replace("epochs: 1,", "epochs: 20,")
)
SITE = "{first_check_seconds: 1, retries: 2, rules: {pretrain: {memory_gb: 2}}}"


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
            self.command(*arguments),
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=800,
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
        """Make world and corpus here; return the runs' folders, relative to the working
        directory.
        """
        words = (
            "--cores",
            "2",
            str(self.results / "corpus.json"),
            "--config",
            "experiment=mine.yaml",
        )
        subprocess.run(
            [sys.executable, "-m", "snakemake", *words],
            cwd=self.folder,
            env=self.variables,
            check=True,
            capture_output=True,
            timeout=200,
        )
        return sorted(
            path.relative_to(self.folder)
            for path in (self.folder / self.results / "runs").iterdir()
        )

    def undisturbed(self, run):
        """Return a run's weights and metrics as an undisturbed process makes them."""
        copy = self.folder / "undisturbed" / run.name
        copy.mkdir(parents=True)
        shutil.copy(self.folder / run / "config.json", copy)
        world = next((self.folder / self.results).glob("world-*[!e]"))
        manifest = self.folder / self.results / "corpus.json"
        words = ("pretrain", "--run", copy, "--manifest", manifest, "--world", world)
        subprocess.run(
            [sys.executable, "-m", "kbench", *words], env=self.variables, check=True, timeout=300
        )
        return outcome(copy)

    def training_log(self, run):
        return (
            self.folder / self.results / "logs" / "pretrain" / "runs" / f"{run.name}.log"
        ).read_text()

    def trainer(self, run):
        """Return the process that trains a run, once it has trained some steps."""
        path = self.folder / run / "metrics.jsonl"
        if not path.exists() or not path.read_text():
            return None
        found = (
            pid
            for pid, words in processes()
            if "pretrain" in words and str(run) in words and "srun" not in words
        )
        return next(found, None)


def processes():
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_text().split("\0")
            except OSError:
                continue
            if (
                words[0].endswith(("python", "python3", Path(sys.executable).name))
                and "kbench" in words
            ):
                yield int(folder.name), words


def until(condition, seconds=500):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def job(run):
    """Return the id of the job that trains a run."""
    return next(job for job, comment in jobs().items() if comment.endswith(run.name))


def jobs():
    """Return the comment of every job that waits or runs, by job id."""
    lines = subprocess.check_output(
        ["squeue", "--noheader", "--format=%i %k"], text=True
    ).splitlines()
    return dict(line.split(maxsplit=1) for line in lines)


def outcome(folder):
    """Return everything about a trained run that must not depend on how often it was stopped."""
    return (folder / "model.safetensors").read_bytes(), timeless(folder)


def timeless(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [
        {key: line[key] for key in ("step", "loss", "gradient_norm", "logit_scale")}
        for line in lines
    ]


def test_preempted_requeued_and_timed_out_runs_end_as_if_nothing_had_been(tmp_path):
    here = Checkout(tmp_path, SLOW)
    runs = here.prepare()
    workflow = here.start(*(run / "model.json" for run in runs))
    left, ways = set(runs), [terminate, requeue, outlast]
    while ways:
        for run in sorted(left):
            process = here.trainer(run)
            if process:
                left.remove(run)
                ways.pop()(job(run), process)
        assert workflow.poll() is None, here.log()
        time.sleep(0.1)
    assert workflow.wait(800) == 0, here.log()
    assert here.log().count("Trying to restart job") == 2, here.log()
    for run in runs:
        assert "going on from step" in here.training_log(run)
        assert outcome(here.folder / run) == here.undisturbed(run)


def terminate(job, process):
    subprocess.run(["scancel", "--signal=TERM", job], check=True)


def requeue(job, process):
    subprocess.run(["scontrol", "requeue", job], check=True)


def outlast(job, process):
    # Stopped in its tracks, it cannot be done within its time, of which a minute is the least.
    os.kill(process, signal.SIGSTOP)
    subprocess.run(["scontrol", "update", f"JobId={job}", "TimeLimit=1"], check=True)


def test_an_interrupted_or_lost_snakemake_loses_nothing_that_is_done(tmp_path):
    here = Checkout(tmp_path, SLOW.replace("seeds: [0, 1, 2]", "seeds: [0]"))
    (run,) = here.prepare()
    target = run / "model.json"

    # Ctrl-C: the job is cancelled, and leaves a checkpoint.
    workflow = here.start(target)
    until(lambda: here.trainer(run))
    workflow.send_signal(signal.SIGINT)
    assert workflow.wait(120) != 0
    until(lambda: not jobs())
    assert list((here.folder / run / "checkpoints").glob("step-*.pt"))

    # The login node is lost: the job goes on alone, and must not write beside its successor.
    workflow = here.start(target)
    until(lambda: here.trainer(run) and "going on from step" in here.training_log(run))
    os.killpg(workflow.pid, signal.SIGKILL)
    workflow.wait(60)
    # Held, so that it is still there when the next snakemake comes, however long that takes.
    os.kill(here.trainer(run), signal.SIGSTOP)
    assert len(jobs()) == 1

    assert here.snakemake("--unlock").returncode == 0
    again = here.snakemake(target)
    assert again.returncode == 0, again.stderr
    assert "1 jobs of an earlier snakemake in this folder" in again.stderr
    assert here.training_log(run).count("going on from step") == 1
    assert outcome(here.folder / run) == here.undisturbed(run)

    # What finished while nobody looked is known to be finished.
    assert "Nothing to be done" in here.snakemake(target).stderr


def test_two_tasks_of_a_job_compute_what_one_process_does(tmp_path):
    import torch

    sys.path.insert(0, str(ROOT / "tests" / "pretrain"))
    import parts

    program = (sys.executable, ROOT / "tests" / "pretrain" / "parts.py", tmp_path / "found.pt")
    variables = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    subprocess.run(["srun", "--ntasks=2", *program], env=variables, check=True, timeout=500)
    found = torch.load(tmp_path / "found.pt")
    for case in ("cosine", "wpse-gaussian"):
        for name, expected in parts.train(parts.trainer(case, parts.Processes())).items():
            torch.testing.assert_close(found[case][name], expected, rtol=1e-9, atol=1e-9)


def test_one_line_of_the_experiment_trains_by_two_tasks(tmp_path):
    experiment = SLOW.replace("seeds: [0, 1, 2]", "seeds: [0]").replace(
        "epochs: 20,", "epochs: 0.5,"
    )
    experiment = experiment.replace("pairs: 512", "pairs: 5200") + "resources: {processes: 2}\n"
    here = Checkout(tmp_path, experiment, SITE.replace("{first", "{gpu_request: gpus, first"))
    (run,) = here.prepare()
    process = here.snakemake(run / "model.json")
    assert process.returncode == 0, process.stderr + here.training_log(run)
    assert "tasks=2" in process.stderr and "gpu=2" in process.stderr
    card = json.loads((here.folder / run / "model.json").read_text())
    assert (card["steps"], card["samples"]) == (81, 81 * 32)


@pytest.mark.skipif(
    "KBENCH_SLURM_IMAGE" not in os.environ,
    reason="tests/slurm/ci.sh runs it where there is an image",
)
def test_two_tasks_train_in_the_image_each_in_a_container_of_its_own(tmp_path):
    """The weights are those of two processes without Slurm and image, to the last bit."""
    experiment = SLOW.replace("seeds: [0, 1, 2]", "seeds: [0]")
    experiment = experiment.replace("epochs: 20,", "epochs: 0.5,")
    experiment = experiment.replace("pairs: 512", "pairs: 5200") + "resources: {processes: 2}\n"
    here = Checkout(tmp_path, experiment)
    (here.folder / "containers").symlink_to(ROOT / "containers")
    (run,) = here.prepare()
    process = here.snakemake(run / "model.json", "--use-singularity")
    assert process.returncode == 0, process.stderr + here.training_log(run)
    assert "tasks=2" in process.stderr
    card = json.loads((here.folder / run / "model.json").read_text())
    assert card["image_digest"] and card["processes"] == 2

    alone = here.folder / "alone" / run.name
    alone.mkdir(parents=True)
    shutil.copy(here.folder / run / "config.json", alone)
    [world] = [path for path in (here.folder / here.results).glob("world-*") if path.is_dir()]
    given = ("--run", alone, "--manifest", here.folder / here.results / "corpus.json")
    words = ("-m", "kbench", "launch", "--processes", "2", "pretrain", *given, "--world", world)
    subprocess.run([sys.executable, *words], cwd=here.folder, env=here.variables, check=True)
    again = json.loads((alone / "model.json").read_text())
    assert again["image_digest"] is None and again["processes"] == 2
    assert again["checkpoint_sha256"] == card["checkpoint_sha256"]


@pytest.mark.parametrize(
    ("site", "words"),
    [
        (
            "{partition: gup}",
            ["Invalid partition name specified", "change partition", "partitions: main, paper"],
        ),
        (
            "{rules: {world: {memory_gb: 9000}}}",
            ["rule 'world'", "rules.world.memory_gb", "partition main has 1 x"],
        ),
        (
            "{gpu_request: gpus, gpu: {partition: paper}}",
            ["rule 'features'", "gpu_request", "8000 MB, no GPU"],
        ),
        (
            "{gpu_request: gres, gpu_type: h100}",
            ["Requested node configuration", "or gpu_request or gpu_type"],
        ),
        ("{constraint: fast}", ["Invalid feature specification", "change constraint"]),
    ],
)
def test_what_slurm_refuses_is_said_before_anything_is_submitted(tmp_path, site, words):
    here = Checkout(tmp_path, EXPERIMENT, site)
    process = here.snakemake()
    assert process.returncode == 2, process.stderr
    message = next(
        line for line in process.stderr.splitlines() if line.startswith("kbench: Slurm refuses")
    )
    assert all(word in message for word in words), message
    assert "Traceback" not in process.stderr and not jobs()


@pytest.mark.skipif(
    "KBENCH_SLURM_ACCOUNTS" not in os.environ, reason="needs a Slurm with accounting"
)
def test_an_account_that_slurm_refuses_is_said_too(tmp_path):
    process = Checkout(tmp_path, EXPERIMENT, "{account: nobodys}").snakemake()
    assert process.returncode == 2 and "change account or qos" in process.stderr
    assert "no accounting here" not in process.stderr


def test_the_doctor_looks_from_a_compute_node(tmp_path):
    here = Checkout(tmp_path, EXPERIMENT, "{gpu_request: gres}")
    command = [sys.executable, "-m", "kbench", "doctor", "--slurm"]
    process = subprocess.run(
        command,
        cwd=here.folder,
        env=here.variables,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    lines = process.stdout[process.stdout.index("slurm ") :].splitlines()
    text = "\n".join(lines)
    assert "partition main" in text and "gpu:2" in text and "TMPDIR" in text
    assert len([line for line in lines if "read and written" in line]) == 2
    # This node claims GPUs that are not there, which is what a doctor is for.
    assert [line for line in lines if line.startswith("BAD")] == [
        line for line in lines if "GPU  " in line
    ]
    assert "CUDA_VISIBLE_DEVICES=0; no device of NVIDIA" in text
