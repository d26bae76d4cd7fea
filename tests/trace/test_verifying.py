"""Results that were edited, damaged or moved are told from those that are what they say."""

import json
import shutil

import numpy as np
import pytest

from kbench.results import bundle, store, table
from kbench.trace import verifying

EVERYTHING = {
    "configurations",
    "records of code",
    "environments",
    "weights",
    "numbers from their samples",
    "tables",
}


@pytest.fixture
def results(trained, tiny_experiment, tmp_path):
    """A copy of trained runs, to be edited."""
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_experiment[1], folder)
    loaded = store.load(folder)
    table.write(loaded, table.frame(loaded))
    return folder


def wrong(given):
    """Return the checks that found something."""
    made = verifying.checks(store.load(given), given)
    return {check.what: check.problems for check in made if check.problems}


def first(results, pattern):
    return sorted(results.glob(pattern))[0]


def edit(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_nothing_is_wrong_with_what_was_made(results, kbench):
    checks = verifying.checks(store.load(results), results)
    assert {check.what for check in checks if check.number} == EVERYTHING
    assert not wrong(results)
    done = kbench("verify", results)
    assert done.returncode == 0, done.stdout
    bundle.write(results, results.parent / "elsewhere.tar.xz")
    assert kbench("verify", results.parent / "elsewhere.tar.xz").returncode == 0


def environment(results):
    edit(first(results, "runs/*/environments/*.json"), python="2.7")


def weights(results):
    path = first(results, "runs/*/model.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def metric(results):
    path = first(results, "runs/*/evaluation/world-shape/zeroshot.json")
    document = json.loads(path.read_text())
    document["metrics"][0]["value"] += 0.01
    path.write_text(json.dumps(document))
    loaded = store.load(results)
    table.write(loaded, table.frame(loaded))


def samples(results):
    path = first(results, "runs/*/evaluation/world-pairs/pmi_gap.npz")
    arrays = dict(np.load(path))
    arrays["excess_losses"] = arrays["excess_losses"] + 0.1
    np.savez(path, **arrays)


def configuration(results):
    path = first(results, "runs/*/config.json")
    document = json.loads(path.read_text())
    document["training"]["learning_rate"] *= 2
    path.write_text(json.dumps(document))


def printed(results):
    path = results / "table.csv"
    lines = path.read_text().splitlines(keepends=True)
    cells = lines[5].split(",")
    place = lines[0].split(",").index("value")
    cells[place] = "0.987654"
    path.write_text("".join([*lines[:5], ",".join(cells), *lines[6:]]))


def shortened(results):
    path = results / "table.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize(
    "change, what, words",
    [
        (environment, "environments", "does not hold the environment"),
        (weights, "weights", "as model.json says"),
        (metric, "numbers from their samples", "does not belong to the result beside it"),
        (samples, "numbers from their samples", "does not belong to the result beside it"),
        (configuration, "configurations", "but its run names"),
        (printed, "tables", "line 6: value is 0.987654, its results make"),
        (shortened, "tables", "rows of"),
    ],
)
def test_what_was_altered_is_named(results, kbench, change, what, words):
    change(results)
    found = wrong(results)
    assert found.keys() == {what} and words in found[what][0]
    done = kbench("verify", results)
    assert done.returncode == 1 and words in done.stdout


def test_code_that_was_altered_is_refused(results, kbench, refused):
    """Whether code agrees is looked at before anything is compared."""
    path = first(results, "runs/*/code/*.json")
    edit(path, modules={"kbench": "0" * 12})
    refused(kbench("verify", results), "damaged or edited")


def test_what_is_no_experiment_is_refused(tmp_path, kbench, refused):
    refused(kbench("verify", tmp_path), "experiment.json")
    (tmp_path / "x.tar.xz").write_bytes(b"no archive")
    refused(kbench("verify", tmp_path / "x.tar.xz"), "is not a bundle of kbench")
