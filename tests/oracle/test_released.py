"""kbench against numbers that the released code of arXiv 2404.19228 gave when it was run; see make.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import inputs

from kbench.evaluate import logistic
from kbench.evaluate.samples import Features
from kbench.evaluate.splits import held_out
from kbench.experiment.schema import LinearProbe
from kbench.towers import config, tokenizer

FOLDER = Path(__file__).parent


@pytest.fixture(scope="module")
def released():
    document = json.loads((FOLDER / "released.json").read_text())
    assert document["commit"] == inputs.COMMIT, "made by another release: run make.py"
    lengths = (len(document["tokens"]), len(document["search"]), document["splits"].keys())
    asked = (len(inputs.captions()), inputs.CURVES, inputs.SPLIT_SIZES.keys() | {"caltech101"})
    assert lengths == asked, "the inputs have changed since: run make.py"
    return document


def ids(**changes):
    towers = config.load("wpse-vit-b-16", changes)
    return tokenizer.create(towers)(inputs.captions()).tolist()


def test_token_ids(released):
    """Of CLIP, whose padding shares the row of id 0, the ids are the rows."""
    assert ids(padding_embeddings="shared") == released["tokens"] == released["rows_none"]


def test_rows_of_the_embedding(released):
    """Padding is counted, an exclamation mark within a word with it."""
    assert ids() == released["rows_sequel"]
    assert any(row[3] >= 49408 > row[5] for row in released["rows_sequel"]), "an id 0 within a text is among them"


def test_captions_that_keep_their_end_are_another_matter(released):
    """It is what kbench does elsewhere, and what its list of differences would have to say here."""
    kept = ids(padding_embeddings="shared", long_captions="keep-end")
    differ = [ours != theirs for ours, theirs in zip(kept, released["tokens"], strict=True)]
    assert differ == [49407 not in theirs for theirs in released["tokens"]] and any(differ)


@pytest.mark.parametrize("seed", range(inputs.CURVES))
def test_the_search_goes_the_same_way(released, seed):
    scores, tried = inputs.curve(seed), []

    def judge(strengths):
        places = [int(np.argmin(np.abs(logistic.GRID - C))) for C in strengths]
        tried.extend(places)
        return [logistic.Tried(C, float(scores[place]), 1, True) for C, place in zip(strengths, places, strict=True)]

    best, _ = logistic.search(LinearProbe().strides, judge)
    theirs = released["search"][seed]
    assert tried == theirs["tried"]
    assert int(np.argmin(np.abs(logistic.GRID - best.C))) == theirs["chosen"]


def test_searches_at_both_edges_are_among_them(released):
    chosen = {entry["chosen"] for entry in released["search"]}
    assert {0, inputs.GRID - 1} <= chosen and len(chosen) > 50


@pytest.mark.parametrize("name", [*inputs.SPLIT_SIZES, "caltech101"])
def test_what_is_held_out(released, name):
    import make

    if name == "caltech101":
        labels, method = np.repeat(np.arange(102), 30), "stratified"
    else:
        labels, method = np.zeros(inputs.SPLIT_SIZES[name], dtype=np.int64), "random"
    _, held = held_out(Features(np.zeros((len(labels), 1), dtype=np.float32), labels), method)
    assert make.digest(held.index) == released["splits"][name]


def test_the_fixture_is_what_the_release_gives(tmp_path):
    if not os.environ.get("KBENCH_WPSE"):
        pytest.skip("KBENCH_WPSE names no checkout of the release")
    subprocess.run([sys.executable, FOLDER / "make.py", tmp_path / "again.json"], check=True, capture_output=True)
    again, kept = (json.loads(path.read_text()) for path in (tmp_path / "again.json", FOLDER / "released.json"))
    assert {**again, "versions": None} == {**kept, "versions": None}


def test_another_checkout_is_refused(tmp_path):
    environment = {**os.environ, "KBENCH_WPSE": str(tmp_path)}
    command = [sys.executable, str(FOLDER / "make.py"), str(tmp_path / "x.json")]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode != 0 and "has to name a checkout" in process.stderr
    assert not (tmp_path / "x.json").exists()
