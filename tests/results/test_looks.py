"""Seeds that are added after a look at the results are said to be."""

import json
import shutil

import pytest
from synthetic import write_experiment

from kbench.errors import UserError
from kbench.report import content
from kbench.report.analysis import Analysis
from kbench.results import looks, store, table

VARIANTS = {"cosine": 2.0, "wpse-linear": 1.0}
SAID = "Seeds 2, 3 were added after the results of seeds 0, 1 had been looked at"


def compared(kbench, folder, *options):
    done = kbench("compare", folder, *options)
    assert done.returncode == 0, done.stderr


def made(folder, *seeds):
    return write_experiment(folder, VARIANTS, seeds)


def warnings(results):
    loaded = store.load(results)
    return content.build(Analysis(loaded, table.frame(loaded)), figures=False).warnings


def test_seeds_added_after_a_look_are_named_in_the_report_and_by_a_bundle(kbench, tmp_path):
    folder = made(tmp_path / "made-up", 0, 1, 2, 3)
    path = folder / "experiment.json"
    whole = json.loads(path.read_text())
    half = [run for run in whole["runs"] if "-s0-" in run or "-s1-" in run]
    path.write_text(json.dumps(whole | {"runs": half, "seeds": [0, 1]}))
    compared(kbench, folder)
    compared(kbench, folder)
    [look] = looks.read(store.load(folder))
    assert look.seeds == (0, 1) and look.results == look.expected == 32
    assert not any("looked at" in warning for warning in warnings(folder))
    path.write_text(json.dumps(whole))
    assert any(warning.startswith(SAID) for warning in warnings(folder))
    compared(kbench, folder)
    assert [look.seeds for look in looks.read(store.load(folder))] == [(0, 1), (0, 1, 2, 3)]
    assert kbench("bundle", folder).returncode == 0
    assert any(warning.startswith(SAID) for warning in warnings(folder / "bundle.tar.xz"))
    compared(kbench, folder / "bundle.tar.xz")
    assert len(looks.read(store.load(folder))) == 2


def test_seeds_that_were_asked_for_and_not_there_yet_are_not_added(kbench, tmp_path):
    folder = made(tmp_path / "made-up", 0, 1)
    late = [path for path in folder.glob("runs/*-s1-*")]
    for path in late:
        shutil.move(path, tmp_path / path.name)
    compared(kbench, folder)
    for path in late:
        shutil.move(tmp_path / path.name, path)
    compared(kbench, folder)
    [look] = looks.read(store.load(folder))
    assert (look.results, look.expected) == (16, 32)
    assert not any("looked at" in warning for warning in warnings(folder))


def test_what_has_no_result_has_not_been_looked_at(kbench, tmp_path):
    folder = made(tmp_path / "made-up", 0)
    shutil.rmtree(folder / "runs")
    compared(kbench, folder)
    assert not (folder / looks.FILE).exists()


def test_the_looks_of_several_machines_are_pooled(kbench, tmp_path):
    parts = [
        made(tmp_path / place / "made-up", *seeds)
        for place, seeds in (("a", (0, 1)), ("b", (2, 3)))
    ]
    for part in parts:
        compared(kbench, part)
    output = tmp_path / "pooled" / "made-up"
    done = kbench("merge", *parts, "--output", output)
    assert done.returncode == 0, done.stderr
    assert {look.seeds for look in looks.read(store.load(output))} == {(0, 1), (2, 3)}
    assert any(SAID in warning for warning in warnings(output))


def test_a_damaged_record_is_refused(tmp_path):
    folder = made(tmp_path / "made-up", 0)
    (folder / looks.FILE).write_text(json.dumps({"looks": [{"when": 3}]}))
    with pytest.raises(UserError, match=r"looks\.json"):
        warnings(folder)
