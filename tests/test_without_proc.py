"""What only Linux has: the jobs in a place where /proc is empty, as on a system that has none. Needs
root, to make such a place.
"""

import json
import shutil
import subprocess
import sys

import pytest
from tiny import ROOT

pytestmark = [
    pytest.mark.whole,
    pytest.mark.skipif(not shutil.which("unshare"), reason="no unshare"),
]

EMPTY = 'mount -t tmpfs none /proc && exec "$0" -m kbench "$@"'


@pytest.fixture
def without_proc(tmp_path):
    """Run a kbench command with an empty /proc."""
    probe = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/proc"])
    if probe.returncode:
        pytest.skip("this user may not mount")

    def run(*words):
        command = ["unshare", "--mount", "bash", "-c", EMPTY, sys.executable, *map(str, words)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)

    return run


def test_the_doctor_says_what_it_cannot_see(without_proc):
    done = without_proc("doctor")
    assert "Traceback" not in done.stderr, done.stderr
    assert "this system does not say how much is available" in done.stdout


def test_a_run_is_trained_and_scored(without_proc, tiny_experiment, tiny_world, tmp_path):
    results = shutil.copytree(tiny_experiment[1], tmp_path / "results")
    run = results / "runs" / tiny_experiment[2][0].name
    for made in ("features", "evaluation", "checkpoints"):
        shutil.rmtree(run / made, ignore_errors=True)
    for path in run.glob("*"):
        if path.is_file() and path.name != "config.json":
            path.unlink()
    manifest, evaluation = results / "corpus.json", results / "evaluation.json"
    world = ("--world", tiny_world)
    for words in (
        ("corpus", "verify", "--config", run / "config.json", *world, "--output", manifest),
        ("pretrain", "--run", run, "--manifest", manifest, *world, "--workers", 1),
        ("features", "--run", run, "--evaluation", evaluation, *world),
        ("evaluate", "--run", run, "--evaluation", evaluation),
    ):
        done = without_proc(*words)
        assert done.returncode == 0, f"{words}: {done.stderr}"
    card = json.loads((run / "model.json").read_text())
    assert card["steps"] == 16 and card["peak_memory_bytes"] > 1e8
    assert (run / "evaluated.json").is_file()
