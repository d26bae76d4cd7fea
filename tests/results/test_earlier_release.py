"""Results that kbench 0.1.0 wrote (its own code, run on the tiny experiment) are still read; later
ones are refused.
"""

import json
import shutil
from pathlib import Path

import pytest
from synthetic import change

from kbench.errors import UserError
from kbench.experiment.load import read_run
from kbench.results import store, table

RELEASE = Path(__file__).parent / "release-0-1-0"


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(RELEASE, tmp_path / "release-0-1-0")
    return tmp_path / "release-0-1-0"


def test_results_of_the_first_release_are_compared_as_they_are(folder, kbench):
    loaded = store.load(folder)
    assert len(loaded.results) == loaded.expected == 6 and loaded.mixture_notes == []
    assert {result.schema_version for result in loaded.results} == {1}
    frame = table.frame(loaded)
    stored = json.loads(
        next(folder.glob("runs/cosine*/evaluation/world-pairs/pmi_gap.json")).read_text()
    )
    [shown] = frame[(frame["variant"] == "cosine") & (frame["metric"] == "excess_loss")]["value"]
    assert shown == next(m["value"] for m in stored["metrics"] if m["name"] == "excess_loss")
    done = kbench("compare", folder)
    assert done.returncode == 0 and "6 of 6 results" in done.stdout


def test_its_run_configurations_still_have_the_names_and_hashes_that_they_had(folder):
    for path in folder.glob("runs/*/config.json"):
        config = read_run(path)
        card = json.loads((path.parent / "model.json").read_text())
        assert config.run == path.parent.name and config.hash == card["config_hash"]


def test_two_versions_of_it_are_not_mixed(folder):
    change(
        next(folder.glob("runs/cosine*/evaluation/world-pairs/pmi_gap.json")),
        code_version="0.1.0+feed",
    )
    with pytest.raises(UserError, match=r"0\.1\.0\+3ed4109c, 0\.1\.0\+feed\), of several versions"):
        store.load(folder)


@pytest.mark.parametrize(
    "name", ["model.json", "evaluation/world-shape/zeroshot.json", "config.json"]
)
def test_a_document_of_a_later_schema_is_refused_with_the_versions_that_are_read(
    folder, refused, kbench, name
):
    path = next(folder.glob("runs/cosine*")) / name
    change(path, schema_version=99)
    if name == "config.json":
        with pytest.raises(UserError, match="schema version 99, but this kbench reads 1"):
            read_run(path)
        return
    refused(kbench("compare", folder), str(path), "schema version 99, but this kbench reads 1 to 2")
