"""From a printed number back to what made it, and again to the number."""

import json
import shutil

import pytest

from kbench import files


@pytest.fixture
def finished(trained, tmp_path):
    """A copy of the finished tiny experiment with its table; returns its folder."""
    folder = tmp_path / "results" / "tiny"
    shutil.copytree(trained[0].folder.parents[1], folder)
    return folder


def document(folder, variant, dataset="world-digits", task="zeroshot"):
    return next(folder.glob(f"runs/{variant}-s*/evaluation/{dataset}/{task}.json"))


def states(kbench, path):
    """Return the state of each link of a result's chain."""
    done = kbench("trace", path, "--json")
    assert done.returncode == 0, done.stderr
    [row] = json.loads(done.stdout)["rows"]
    return {link["what"]: link["state"] for link in row["links"]}


def test_everything_behind_a_result_is_as_recorded(kbench, finished):
    found = states(kbench, document(finished, "wpse-gaussian"))
    assert found.pop("evaluation data") == "recorded, not looked at"
    assert set(found) == {
        *(f"code of the {stage}" for stage in ("task", "features", "training")),
        *("features", "weights", "configuration", "corpus", "environment"),
    }
    assert set(found.values()) == {"as recorded"}


@pytest.mark.parametrize(
    ("what", "state", "change"),
    [
        ("weights", "differs", lambda run: (run / "model.safetensors").write_bytes(b"other")),
        ("weights", "absent", lambda run: (run / "model.safetensors").unlink()),
        ("features", "absent", lambda run: shutil.rmtree(run / "features")),
        ("configuration", "differs", lambda run: edit(run / "config.json", seed=9)),
        ("environment", "absent", lambda run: shutil.rmtree(run / "environments")),
        ("code of the training", "absent", lambda run: shutil.rmtree(run / "code")),
        ("corpus", "absent", lambda run: (run.parents[1] / "corpus.json").unlink()),
    ],
)
def test_what_is_gone_or_other_is_said(kbench, finished, what, state, change):
    path = document(finished, "cosine")
    change(path.parents[2])
    assert states(kbench, path)[what] == state


def edit(path, **changes):
    files.write_json(path, files.read_json(path) | changes)


@pytest.mark.parametrize("content", ["[]", '{"machine": "other"}'])
def test_records_that_were_edited_are_said(kbench, finished, content):
    path = document(finished, "cosine")
    run = path.parents[2]
    (run / "features" / "world-digits" / "features.json").write_text(content)
    for record in (run / "environments").iterdir():
        record.write_text(content)
    found = states(kbench, path)
    assert found["features"] == found["environment"] == "differs"


def test_a_result_is_found_from_within_its_folder(kbench, finished):
    path = document(finished, "cosine")
    for here, name in (
        (path.parent, path.name),
        (finished / "runs", path.relative_to(finished / "runs")),
    ):
        done = kbench("trace", name, cwd=here)
        assert done.returncode == 0 and done.stdout.count("as recorded") == 8, done.stderr


def test_features_of_another_key_are_said(kbench, finished):
    path = document(finished, "cosine")
    record = path.parents[2] / "features" / "world-digits" / "features.json"
    edit(record, key=files.read_json(record)["key"] | {"seed": 5})
    assert states(kbench, path)["features"] == "differs"


def test_a_cell_leads_to_its_rows_and_its_printed_number(kbench, finished):
    done = kbench("trace", finished, "wpse-gaussian", "world-digits", "acc1", "--task", "zeroshot")
    assert done.returncode == 0, done.stderr
    [metric] = [
        m
        for m in files.read_json(document(finished, "wpse-gaussian"))["metrics"]
        if m["name"] == "acc1"
    ]
    assert f"zeroshot acc1: {100 * metric['value']:.1f} %, mean ± sd of 1 rows" in done.stdout
    assert str(document(finished, "wpse-gaussian")) in done.stdout
    assert "snakemake " in done.stdout and "runs/wpse-gaussian-s0" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["wpse-gausian", "world-digits"], "did you mean 'wpse-gaussian'"),
        (["cosine", "world-digit"], "did you mean 'world-digits'"),
        (["cosine", "world-digits", "acc2"], "did you mean 'acc5'? Legal: acc1"),
        (["cosine", "world-digits"], "give --task"),
        (["cosine"], "a cell is named by"),
    ],
)
def test_a_cell_that_is_not_there_is_one_message(kbench, refused, finished, words, said):
    refused(kbench("trace", finished, *words), said)


def test_a_result_that_was_moved_is_refused(kbench, refused, finished):
    path = document(finished, "cosine")
    moved = shutil.copy(path, path.with_name("retrieval.json"))
    refused(kbench("trace", moved), "it was moved")


@pytest.mark.whole
def test_a_result_made_again_is_equal_and_one_that_was_changed_is_found(
    kbench, refused, finished, tmp_path
):
    path = document(finished, "wpse-gaussian")
    shown = kbench("rerun", path)
    assert (
        shown.returncode == 0 and "kbench pretrain --run again/runs/wpse-gaussian" in shown.stdout
    )
    equal = kbench("rerun", path, "--go", tmp_path / "again")
    assert equal.returncode == 0, equal.stdout + equal.stderr
    assert "equal: all 3 metrics" in equal.stdout
    refused(kbench("rerun", path, "--go", tmp_path / "again"), "is there already")
    changed = files.read_json(path)
    changed["metrics"][0]["value"] += 1e-9
    files.write_json(path, changed)
    other = kbench("rerun", path, "--go", tmp_path / "once more")
    assert other.returncode == 1 and "acc1: " in other.stdout and " before, " in other.stdout
