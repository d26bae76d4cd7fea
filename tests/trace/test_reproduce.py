"""An experiment run again from a bundle: the command, and what is said of every number."""

import json
import shutil

import pytest
import yaml
from tiny import ROOT

from kbench.results import bundle, store
from kbench.trace import reproducing


@pytest.fixture
def packed(trained, tiny_experiment, tmp_path):
    path = tmp_path / "theirs" / bundle.NAME
    path.parent.mkdir()
    bundle.write(tiny_experiment[1], path)
    return path


def test_the_experiment_of_a_bundle_makes_the_same_runs(packed, tmp_path, kbench):
    """No number is made yet, which is no success."""
    done = kbench("reproduce", packed, "--output", tmp_path / "again", "--cores", "2")
    assert done.returncode == 1
    written = tmp_path / "again" / "tiny.yaml"
    expected = f"snakemake --cores 2 --config experiment={written}"
    assert done.stdout.startswith(expected) and f"results={tmp_path}/again/results" in done.stdout
    assert yaml.safe_load(written.read_text())["name"] == "tiny"


def made_again(tiny_experiment, folder):
    shutil.copytree(tiny_experiment[1], folder / "results" / "tiny")
    return folder / "results" / "tiny"


def test_equal_numbers_are_identical(packed, tiny_experiment, tmp_path, kbench):
    made_again(tiny_experiment, tmp_path / "again")
    done = kbench("reproduce", packed, "--output", tmp_path / "again")
    number = sum(len(result.metrics) for result in store.load(packed).results)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{number} identical"


@pytest.mark.parametrize(
    "moved, options, status, said",
    [
        (5e-4, [], 0, "1 within tolerance"),
        (5e-4, ["--tolerance", "1e-4"], 1, "1 different"),
        (0.02, [], 1, "1 different"),
    ],
)
def test_a_number_that_moved_is_named(
    packed, tiny_experiment, tmp_path, kbench, moved, options, status, said
):
    again = made_again(tiny_experiment, tmp_path / "again")
    path = sorted(again.glob("runs/*/evaluation/world-digits/zeroshot.json"))[0]
    document = json.loads(path.read_text())
    document["metrics"][0]["value"] += moved
    path.write_text(json.dumps(document))
    done = kbench("reproduce", packed, "--output", tmp_path / "again", *options)
    assert done.returncode == status and said in done.stdout
    assert f"{document['run']}, world-digits, zeroshot" in done.stdout


def test_what_is_not_there_yet_is_no_success(packed, tiny_experiment, tmp_path, kbench):
    again = made_again(tiny_experiment, tmp_path / "again")
    sorted(again.glob("runs/*/evaluation/world-digits/zeroshot.json"))[0].unlink()
    done = kbench("reproduce", packed, "--output", tmp_path / "again")
    assert done.returncode == 1 and "not made yet" in done.stdout


def test_another_kbench_that_makes_other_runs_is_refused(packed, tmp_path, kbench, refused):
    kbench("reproduce", packed, "--output", tmp_path / "again")
    written = tmp_path / "again" / "tiny.yaml"
    asked = yaml.safe_load(written.read_text())
    asked["training"]["learning_rate"] = 0.5
    written.write_text(yaml.safe_dump(asked))
    done = kbench("reproduce", packed, "--output", tmp_path / "again")
    refused(done, "this kbench does not make run cosine-s0-")


def test_going_on_without_a_snakefile_is_refused(packed, tmp_path, kbench, refused):
    words = ("reproduce", packed, "--output", tmp_path / "again", "--go")
    refused(kbench(*words, cwd=tmp_path), "needs a Snakefile")


def test_results_of_a_container_are_made_in_one(packed, tmp_path):
    loaded = store.load(packed)
    results = tuple(
        result.model_copy(
            update={"provenance": result.provenance.model_copy(update={"image_digest": "a" * 64})}
        )
        for result in loaded.results
    )
    inside = reproducing.prepare(
        store.replace(loaded, results=results), tmp_path / "again", "2", None
    )
    assert "--use-singularity" in inside


@pytest.mark.whole
def test_a_workflow_is_run_again_to_the_last_bit(packed, tmp_path, kbench_alone):
    """The bundle's runs were trained in this process, with other threads, which moves last bits;
    those of a workflow are made again as they were.
    """

    def again(results, name):
        words = ("reproduce", results, "--output", tmp_path / name, "--go", "--cores", "2")
        return kbench_alone(*words, cwd=ROOT)

    first = again(packed, "first")
    assert (tmp_path / "first" / "results" / "tiny" / "table.csv").is_file(), first.stderr[-3000:]
    second = again(tmp_path / "first" / "results" / "tiny", "second")
    assert second.returncode == 0, second.stdout[-2000:] + second.stderr[-3000:]
    assert second.stdout.splitlines()[-1].endswith("identical")
    assert "," not in second.stdout.splitlines()[-1]
