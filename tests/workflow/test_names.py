"""Names and paths on their way from `snakemake --config` to a job's words; and what a dry run
leaves behind.
"""

import json
import os
import re
import sys
from pathlib import Path

import pytest
from test_workflow import EXPERIMENTS, RULES, checkout, snakemake  # noqa: F401
from tiny import EXPERIMENT, ROOT

from kbench.errors import UserError
from kbench.plan.workflow import Workflow

AWKWARD = ["it's here, $(touch owned)", '`touch owned` "über" alles;touch owned', "-n", "*"]
STUB = """#!{python}
import json, pathlib, sys
with open({record!r}, "a") as stream:
    print(json.dumps(sys.argv[1:]), file=stream)
words = sys.argv[1:]
if "--output" in words:
    output = pathlib.Path(words[words.index("--output") + 1])
    output.mkdir(parents=True) if words[0] == "world" else output.write_text("{{}}")
"""


@pytest.fixture
def spoken(checkout, tmp_path):  # noqa: F811
    """Return a function that runs Snakemake with a `kbench` that only notes its words, and the
    words of each call.
    """
    record, programs = tmp_path / "words", tmp_path / "programs"
    programs.mkdir()
    stub = programs / "kbench"
    stub.write_text(STUB.format(python=sys.executable, record=str(record)))
    stub.chmod(0o755)

    def run(*config):
        record.unlink(missing_ok=True)
        path = f"{programs}:{os.environ['PATH']}"
        target = f"{dict(pair.split('=', 1) for pair in config).get('results', 'results')}/tiny/corpus.json"
        command = (
            "--cores",
            1,
            target if not target.startswith("-") else f"./{target}",
            "--config",
            *config,
        )
        done = snakemake(*command, cwd=checkout, path_first=path)
        return done, (
            [json.loads(line) for line in record.read_text().splitlines()]
            if record.exists()
            else []
        )

    return run


@pytest.mark.parametrize(
    "name", [AWKWARD[0], *(pytest.param(name, marks=pytest.mark.whole) for name in AWKWARD[1:])]
)
def test_a_name_reaches_the_job_as_it_is(checkout, spoken, name):  # noqa: F811
    results, data = f"results {name}", f"data {name}"
    done, words = spoken("experiment=tiny", f"results={results}", f"data={data}")
    assert done.returncode == 0, done.stdout + done.stderr
    make, verify = words
    assert make[make.index("--output") + 1].startswith(f"{results}/tiny/world-")
    assert verify[verify.index("--output") + 1] == f"{results}/tiny/corpus.json"
    assert verify[verify.index("--data") + 1] == data
    assert (checkout / results / "tiny" / "logs" / "corpus.log").exists()
    assert not list(checkout.parent.rglob("owned"))


@pytest.mark.parametrize("key", ["results", "data", "image", "experiment"])
def test_braces_are_refused(key):
    with pytest.raises(UserError, match="takes what stands in braces for a wildcard"):
        Workflow({key: "a{b}c"})


def test_braces_are_refused_in_one_message(checkout):  # noqa: F811
    process = snakemake("-n", "--cores", 1, "--config", "results=a{b}c", cwd=checkout)
    assert process.returncode == 2
    assert (
        "takes what stands in braces for a wildcard" in process.stderr
        and "Traceback" not in process.stderr
    )
    assert not list(checkout.rglob("*.json"))


@pytest.mark.parametrize(
    ("value", "words"), [("a\nb", "cannot be printed"), (" ", "is empty"), ("", "is empty")]
)
def test_what_cannot_be_a_name_is_refused(value, words):
    with pytest.raises(UserError, match=words):
        Workflow({"results": value})


def test_the_data_folder_of_the_environment_is_looked_at_too(monkeypatch):
    monkeypatch.setenv("KBENCH_DATA", "data/{run}")
    with pytest.raises(UserError, match="for a wildcard"):
        Workflow({})


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_every_word_of_a_rule_is_quoted_by_snakemake(path):
    shells = re.findall(r"shell:\n((?:\s+\".*\"\n?)+)", path.read_text())
    assert len(shells) == len(re.findall(r"^\s*rule ", path.read_text(), re.MULTILINE))
    for shell in shells:
        assert "'" not in shell, "quotes made by hand"
        assert all(place.endswith(":q}") for place in re.findall(r"{[^{}]*}", shell)), shell


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return time and content of all files but Snakemake's own."""
    files = (
        path for path in folder.rglob("*") if path.is_file() and ".snakemake" not in path.parts
    )
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def planned(process) -> dict[str, int]:
    return {
        rule: int(count)
        for rule, count in re.findall(r"^(\w+) +(\d+)$", process.stdout, re.MULTILINE)
    }


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "demo" else pytest.mark.whole)
        for name in EXPERIMENTS
        if name != "released" and (name == "rank-d2" or not name.startswith("rank-d"))
    ],
)
def test_a_dry_run_plans_all_and_leaves_nothing(checkout, name):  # noqa: F811
    """Of experiments that differ in a number alone (test_parts_of_rank), one is enough."""
    before = everything(checkout)
    process = snakemake("-n", "--cores", 1, "--config", f"experiment={name}", cwd=checkout)
    assert process.returncode == 0, process.stderr
    assert "workflow specific profile profiles/default" in process.stderr
    jobs = planned(process)
    runs = len(Workflow(config(name)).runs)
    assert jobs["features"] == jobs["evaluate"] == runs and jobs["pretrain"] >= runs
    assert everything(checkout) == before


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name != "released"])
def test_every_experiment_has_a_short_form(name):
    short, whole = Workflow(config(name) | {"smoke": "true"}), Workflow(config(name))
    assert short.experiment.name == f"{whole.experiment.name}-smoke"
    assert 0 < len(short.runs) <= len(whole.runs)


def config(name: str) -> dict[str, str]:
    """Return what `snakemake --config` is told of a shipped experiment."""
    return {"experiment": str(ROOT / "workflow" / "experiments" / f"{name}.yaml")}


@pytest.mark.whole
def test_a_dry_run_says_what_a_changed_experiment_would_do_and_changes_nothing(checkout, spoken):  # noqa: F811
    first, _ = spoken("experiment=tiny")
    assert first.returncode == 0, first.stderr
    before = everything(checkout)
    assert (
        "Nothing to be done"
        in snakemake(
            "-n",
            "--cores",
            1,
            "results/tiny/corpus.json",
            "--config",
            "experiment=tiny",
            cwd=checkout,
        ).stdout
    )
    other = checkout / "other.yaml"
    other.write_text(
        EXPERIMENT.replace("[cosine,", "[cosine-mean,").replace("draws: 2", "draws: 3")
    )
    process = snakemake("-n", "--cores", 1, "--config", "experiment=other.yaml", cwd=checkout)
    other.unlink()
    assert process.returncode == 0 and planned(process)["pretrain"] == 2
    assert everything(checkout) == before
    assert not list(Path(os.environ.get("TMPDIR", "/tmp")).glob("kbench-planned-*"))


def test_results_that_cannot_be_written_are_one_message(checkout):  # noqa: F811
    (checkout / "results").write_text("a file in the way")
    process = snakemake("--cores", 1, "--config", "experiment=tiny", cwd=checkout)
    assert process.returncode == 2
    assert len(re.findall("^kbench: cannot write", process.stderr, re.MULTILINE)) == 1
    assert "Traceback" not in process.stderr
