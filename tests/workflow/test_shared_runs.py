"""An experiment that shares runs with a finished one trains only what is new."""

import re

import pytest
from test_workflow import checkout, snakemake  # noqa: F401
from tiny import EXPERIMENT


@pytest.mark.whole
def test_another_experiment_trains_only_what_is_new(checkout):  # noqa: F811
    short = EXPERIMENT.replace("[world-shape, world-digits,", "[world-shape,")
    (checkout / "workflow" / "experiments" / "tiny.yaml").write_text(short)
    first = snakemake("--cores", 2, "--config", "experiment=tiny", cwd=checkout)
    assert first.returncode == 0, first.stderr
    more = short.replace("name: tiny", "name: more").replace("seeds: [0]", "seeds: [0, 1]")
    (checkout / "more.yaml").write_text(more)
    elsewhere = ("--config", "experiment=more.yaml", "results=elsewhere", "reuse=results")
    second = snakemake("--cores", 2, *elsewhere, cwd=checkout)
    assert second.returncode == 0, second.stdout + second.stderr
    results = checkout / "elsewhere" / "more"
    logs = {path.stem: path.read_text() for path in results.glob("logs/pretrain/runs/*.log")}
    taken = {name for name, log in logs.items() if "taken over from tiny" in log}
    assert (
        len(logs) == 4
        and {re.search(r"-s(\d)-", name)[1] for name in taken} == {"0"}
        and len(taken) == 2
    )
    assert all("samples/s" in logs[name] for name in logs.keys() - taken)
    report = (results / "report" / "index.html").read_text()
    assert "runs taken over, not trained here" in report and all(
        f"{name} from tiny" in report for name in taken
    )
    again = snakemake("--cores", 2, *elsewhere, cwd=checkout)
    assert "Nothing to be done" in again.stdout + again.stderr
    before = snakemake("-n", "--cores", 2, "--config", "experiment=tiny", cwd=checkout)
    assert "Nothing to be done" in before.stdout + before.stderr


def test_a_folder_to_take_runs_from_has_to_be_there(checkout):  # noqa: F811
    process = snakemake(
        "-n", "--cores", 1, "--config", "experiment=tiny", "reuse=nowhere", cwd=checkout
    )
    assert process.returncode == 2 and "--config reuse=nowhere: no such folder" in process.stderr
