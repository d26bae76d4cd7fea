"""A job that fails ends: with its status and one message, and without a process that stays."""

import json
import shutil
import subprocess
import sys

import pytest
from failing import MESSAGE, PLACES

pytestmark = pytest.mark.whole


@pytest.fixture(scope="module")
def ended(trained, tiny_experiment, tiny_world, tmp_path_factory):
    """How a job ended that failed at each place; and the folders of the jobs, in that order."""
    folder = tmp_path_factory.mktemp("failing")
    results, runs = tiny_experiment[1], []
    for number, (command, _) in enumerate(PLACES.values()):
        run = folder / str(number) / trained[0].folder.name
        if command == "pretrain":
            run.mkdir(parents=True)
            shutil.copy(trained[0].folder / "config.json", run)
        else:
            made = ("features", "evaluation") if command == "features" else ("evaluation",)
            shutil.copytree(trained[0].folder, run, ignore=shutil.ignore_patterns(*made))
        runs.append(run)
    run = ["--run", str(folder / "{place}" / trained[0].folder.name), "--device", "cpu"]
    world = ["--world", str(tiny_world)]
    evaluation = ["--evaluation", str(results / "evaluation.json")]
    manifest = ["--manifest", str(results / "corpus.json")]
    jobs = {
        "pretrain": ["pretrain", *run, *manifest, *world, "--workers", "1"],
        "features": ["features", *run, *evaluation, *world],
        "evaluate": ["evaluate", *run, *evaluation],
    }
    (folder / "jobs.json").write_text(json.dumps(jobs))
    program = [sys.executable, "-m", "failing", folder / "jobs.json", folder / "ended.json"]
    done = subprocess.run(program, cwd=__file__.rpartition("/")[0], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outcomes = json.loads((folder / "ended.json").read_text())
    return dict(zip(PLACES, zip(outcomes.values(), runs, strict=True), strict=True))


@pytest.mark.parametrize("place", PLACES)
def test_every_process_is_gone_soon_after_a_failure(ended, place):
    outcome, run = ended[place]
    assert outcome["left"] == 0, f"after {outcome['seconds']:.0f} s"
    assert outcome["status"] == 1, outcome["errors"]
    if place == "on a full disk":
        assert "No space left on device" in outcome["errors"]
        assert "Traceback" not in outcome["errors"]
    else:
        assert MESSAGE in outcome["errors"]
    last = {"pretrain": "model.json", "features": "encoded.json", "evaluate": "evaluated.json"}
    assert not (run / last[PLACES[place][0]]).exists()
