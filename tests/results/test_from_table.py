"""Results read back from the table of a summary, which may have nothing else."""

import gzip
import os
import shutil

import pandas
import pytest
from tiny import ROOT

from kbench.errors import UserError
from kbench.results import bundle, from_table, store, table

SUMMARIES = sorted(path.parent for path in ROOT.glob("results/*/summary/report.md"))


def alone(name, folder):
    """Return a folder with the table of a committed summary and nothing else."""
    folder.mkdir(exist_ok=True)
    path = from_table.find(ROOT / "results" / name / "summary")
    shutil.copy(path, folder)
    return folder


@pytest.mark.parametrize("name", ["demo", "world"])
def test_it_has_every_value_of_the_bundle_but_draws_and_samples(name, tmp_path):
    whole = store.load(ROOT / "results" / name / "summary" / bundle.NAME)
    shown = store.shown(alone(name, tmp_path))
    ours, theirs = table.frame(shown), table.frame(whole)
    pandas.testing.assert_frame_equal(
        ours.drop(columns="n_draws"), theirs.drop(columns="n_draws"), check_dtype=False
    )
    assert shown.folder == whole.folder and from_table.NOTE in shown.mixture_notes
    assert not any(os.path.exists(shown.arrays(result)) for result in shown.results)


@pytest.mark.parametrize("folder", SUMMARIES, ids=lambda path: path.parent.name)
def test_every_committed_table_is_read(folder, tmp_path):
    shown = store.shown(alone(folder.parent.name, tmp_path))
    assert shown.experiment.name == folder.parent.name and not shown.missing and shown.results


def test_a_report_says_what_it_was_made_from(tmp_path, kbench):
    summary = alone("sources", tmp_path / "summary")
    done = kbench("report", summary, "--output", tmp_path / "page")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "page" / "report.md").read_text()
    assert f"> {from_table.NOTE}" in text
    committed = (ROOT / "results/sources/summary/report.md").read_text()
    rows = [line for line in committed.splitlines() if line.startswith("| weights-")]
    assert rows[0] in text and "several step counts (here none is known)" in text


def test_what_checks_or_passes_on_results_refuses_it(tmp_path, kbench, refused):
    summary = alone("sources", tmp_path / "summary")
    for words in (("verify", summary), ("merge", summary, summary, "--output", tmp_path / "m")):
        refused(kbench(*words), "nothing that it could be held against", "kbench report")
    assert kbench("compare", summary, summary).returncode == 0


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "no table of kbench"),
        (b"a,b\n1,2\n", "no table of kbench"),
        (b"\xff\xfe\x00", "no table of kbench"),
        ("one experiment", "disagree"),
        ("one of each", "2 experiments"),
        ("no missing", "is missing in it"),
        ("no words", "no table of kbench"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, content, said):
    if isinstance(content, str):
        frame = pandas.read_csv(ROOT / "results/demo/summary/table.csv", dtype=str)
        column, value = {
            "one experiment": ("experiment", "other"),
            "one of each": ("experiment", "other"),
            "no missing": ("status", "missing"),
            "no words": ("value", "high"),
        }[content]
        chosen = frame["run"] == frame["run"][3] if content == "one of each" else [3]
        frame.loc[chosen, column] = value
        content = frame.to_csv(index=False).encode()
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(UserError, match=said):
        store.shown(tmp_path)


def test_a_damaged_packed_table_is_refused(tmp_path):
    packed = gzip.compress(b"experiment,run\n" * 100)
    for content in (packed[:20], b"no archive"):
        (tmp_path / "table.csv.gz").write_bytes(content)
        with pytest.raises(UserError, match="no table of kbench"):
            store.shown(tmp_path)


def test_a_name_that_leads_elsewhere_writes_nothing_there(tmp_path, kbench):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    summary = alone("demo", folder / "summary")
    text = (summary / "table.csv").read_text().replace("\ndemo,", "\n../../elsewhere,")
    (summary / "table.csv").write_text(text)
    assert kbench("report", summary).returncode == 0
    assert kbench("site", summary, "--output", folder / "site").returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"a"}
    assert {path.name for path in folder.iterdir()} == {"summary", "site"}
    assert len(list(folder.rglob("index.html"))) == 3
