"""The workflow as a user runs it: Snakemake itself, on a tiny experiment."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny import EXPERIMENT, ROOT

from kbench.errors import UserError
from kbench.plan.workflow import Workflow

RULES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
EXPERIMENTS = sorted(path.stem for path in (ROOT / "workflow" / "experiments").glob("*.yaml"))


def snakemake(*arguments, cwd, path_first=None, **environment):
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    variables["PATH"] = path_first or f"{Path(sys.executable).parent}:{variables['PATH']}"
    command = [sys.executable, "-m", "snakemake", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=600
    )


@pytest.fixture
def checkout(tmp_path):
    """What a working directory holds of a checkout, with the tiny experiment added, in a path with
    a space.
    """
    folder = tmp_path / "a checkout"
    folder.mkdir()
    shutil.copy(ROOT / "Snakefile", folder)
    shutil.copytree(ROOT / "workflow", folder / "workflow")
    (folder / "profiles").symlink_to((ROOT / "profiles").readlink())
    (folder / "workflow" / "experiments" / "tiny.yaml").write_text(EXPERIMENT)
    return folder


def test_the_snakefile_is_short_and_every_rule_is_a_kbench_command():
    assert len((ROOT / "Snakefile").read_text().splitlines()) <= 60
    for path in RULES:
        text = path.read_text()
        for rule in re.split(r"^\s*rule ", text, flags=re.MULTILINE)[1:]:
            name = rule.split(":")[0]
            assert "shell:" in rule and re.search(r'"(exec )?kbench ', rule.split("shell:")[1]), (
                name
            )
            assert "log:" in rule and "benchmark:" in rule, name
        assert "script:" not in text and "run:" not in text


def test_no_checkpoint_or_training_log_is_a_declared_output():
    text = (ROOT / "workflow" / "rules" / "pretrain.smk").read_text()
    outputs = re.search(r"output:(.*?)log:", text, flags=re.DOTALL)[1]
    assert (
        "model.safetensors" in outputs and "checkpoints" not in outputs and "metrics" not in outputs
    )


MISTAKES = {
    "experiment=dem": "did you mean 'demo'",
    "experimnt=demo": "did you mean 'experiment'",
    "smoke=perhaps": "legal are true and false",
    "experiment=absent.yaml": "no such experiment file",
}


@pytest.mark.parametrize("config", MISTAKES)
def test_mistakes_are_named(config, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=MISTAKES[config]):
        Workflow(dict([config.split("=")]))


def test_a_mistake_is_one_message_without_traceback(checkout):
    process = snakemake("-n", "--cores", 1, "--config", "experiment=dem", cwd=checkout)
    assert process.returncode == 2
    assert "did you mean 'demo'" in process.stderr and "Traceback" not in process.stderr


@pytest.mark.whole
def test_from_an_experiment_file_to_a_report_and_a_change_touches_nothing_finished(checkout):
    run = ["--cores", 2, "--config", "experiment=tiny"]
    path = checkout / "workflow" / "experiments" / "tiny.yaml"
    path.write_text(re.sub(r"variants: .*", "variants: [cosine]", EXPERIMENT))
    first = snakemake(*run, cwd=checkout)
    assert first.returncode == 0, first.stdout + first.stderr
    results = checkout / "results" / "tiny"
    assert "Report: results/tiny/report/index.html" in first.stderr
    for name in (
        "table.csv",
        "table.json",
        "report/index.html",
        "report/report.md",
        "report/report.tex",
    ):
        assert (results / name).stat().st_size > 500, name
    assert (
        len(list(results.glob("logs/pretrain/runs/*.log")))
        == len(list(results.glob("benchmarks/pretrain/runs/*.tsv")))
        == 1
    )

    again = snakemake(*run, cwd=checkout)
    assert "Nothing to be done" in again.stdout + again.stderr

    own = snakemake("--config", "experiment=tiny", "--report", "own.html", cwd=checkout)
    assert own.returncode == 0, own.stderr
    assert "tidy table" in (checkout / "own.html").read_text()

    # Another variant trains alone.
    weights = {path: path.stat().st_mtime_ns for path in results.glob("runs/*/model.safetensors")}
    path.write_text(path.read_text().replace("[cosine]", "[cosine, cosine-mean]"))
    more = snakemake(*run, cwd=checkout)
    assert more.returncode == 0, more.stdout + more.stderr
    assert len(list(results.glob("runs/*/model.safetensors"))) == 2
    assert all(path.stat().st_mtime_ns == before for path, before in weights.items())
    assert "cosine-mean" in (results / "report" / "report.md").read_text()

    # A lost result is made again from what is there, without training.
    next(results.glob("runs/cosine-s0-*/evaluated.json")).unlink()
    mended = snakemake(*run, cwd=checkout)
    assert mended.returncode == 0 and "rule pretrain" not in mended.stdout + mended.stderr


@pytest.mark.whole
def test_an_interrupted_workflow_loses_nothing(checkout):
    experiment = checkout / "workflow" / "experiments" / "tiny.yaml"
    longer = EXPERIMENT.replace("epochs: 1,", "epochs: 20,")
    experiment.write_text(longer.replace("[cosine, {similarity", "[{similarity"))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--config", "experiment=tiny"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}
    first = subprocess.Popen(
        command, cwd=checkout, env=variables, stderr=subprocess.DEVNULL, start_new_session=True
    )
    results = checkout / "results" / "tiny"
    while not any(path.stat().st_size for path in results.glob("runs/*/metrics.jsonl")):
        assert first.poll() is None, "the workflow ended before it could be interrupted"
        time.sleep(0.05)
    # As a terminal does on Ctrl-C: the whole group is told.
    os.killpg(first.pid, signal.SIGINT)
    assert first.wait(60) != 0
    corpus = (results / "corpus.json").stat().st_mtime_ns
    assert list(results.glob("runs/*/checkpoints/step-*.pt"))

    again = snakemake("--cores", 2, "--config", "experiment=tiny", cwd=checkout)
    assert again.returncode == 0, again.stdout + again.stderr
    assert (results / "corpus.json").stat().st_mtime_ns == corpus
    assert any(
        "going on from step" in log.read_text() for log in results.glob("logs/pretrain/runs/*.log")
    )


@pytest.mark.slow
def test_a_failing_job_shows_its_message_and_keeps_the_rest(checkout):
    process = snakemake(
        "--cores", 1, "--config", "experiment=cifar10", "data=nowhere", cwd=checkout
    )
    assert process.returncode != 0
    assert "kbench: the data folder nowhere does not exist" in process.stdout + process.stderr


@pytest.mark.whole
def test_a_second_workflow_on_a_folder_is_refused_at_once(checkout):
    hold = "import sys; from pathlib import Path; from kbench import lock; lock.keep(Path(sys.argv[1]));"
    first = subprocess.Popen(
        [sys.executable, "-c", f"{hold} print('held', flush=True); input()", "results/tiny"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdout.readline() == "held\n"
    run = ("--cores", 1, "--config", "experiment=tiny")
    second = snakemake(*run, cwd=checkout)
    assert second.returncode == 75
    assert "kbench: another snakemake works on results/tiny" in second.stderr
    # Looking is no work, and another experiment is another folder.
    assert snakemake("-n", *run, cwd=checkout).returncode == 0
    first.communicate("\n")
    # Nobody has to unlock: it went with its process.
    assert "another snakemake" not in snakemake(*run, "--until", "world", cwd=checkout).stderr
