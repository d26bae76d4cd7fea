"""The RO-Crate of a finished experiment, read again with the library that reads anybody's."""

import json

import pytest
from rocrate.rocrate import ROCrate
from synthetic import run_name, write_experiment

from kbench.errors import UserError
from kbench.report import crate
from kbench.report.analysis import Analysis
from kbench.results import store, table


def analysed(folder):
    loaded = store.load(folder)
    return Analysis(loaded, table.frame(loaded))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crate") / "made-up"
    write_experiment(folder, {"cosine": 1.0, "filip": 2.0}, datasets=("world-shape",))
    (folder / "report").mkdir()
    (folder / "report" / "report.md").write_text("# made-up\n")
    crate.write(analysed(folder))
    return folder


def test_every_file_is_there_and_as_long_as_the_crate_says(folder):
    files = [entity for entity in ROCrate(folder).data_entities if entity.type == "File"]
    # Experiment.json; config, card, log, two results twice; report.md.
    assert len(files) == 1 + 4 * (3 + 4) + 1
    for entity in files:
        assert (folder / entity.id).stat().st_size == int(entity["contentSize"]), entity.id
        assert entity["encodingFormat"]


def test_every_reference_resolves(folder):
    graph = json.loads((folder / crate.FILE).read_text())["@graph"]
    known = {entity["@id"] for entity in graph}
    assert len(known) == len(graph)

    def references(value):
        if isinstance(value, dict):
            yield value["@id"]
        for item in value if isinstance(value, list) else ():
            yield from references(item)

    used = {
        identity for entity in graph for value in entity.values() for identity in references(value)
    }
    assert {
        identity for identity in used if not identity.startswith("https://w3id.org/ro/crate/")
    } <= known


def test_steps_say_what_made_what(folder):
    read = ROCrate(folder)
    steps = {
        entity.id: entity for entity in read.contextual_entities if entity.type == "CreateAction"
    }
    assert len(steps) == 2 * 4 + 1
    run = run_name("filip", 1)
    pretrain, evaluate = steps[f"#pretrain-{run}"], steps[f"#evaluate-{run}"]
    assert f"runs/{run}/config.json" in {entity.id for entity in pretrain["object"]}
    assert f"snakemake {folder}/runs/{run}/model.json" in pretrain["description"]
    results = {entity.id for entity in evaluate["result"]}
    assert f"runs/{run}/evaluation/world-shape/zeroshot.json" in results
    assert pretrain["instrument"]["softwareVersion"] == "0.1.0+made.up"
    made = [entity.id for step in steps.values() for entity in step["result"]]
    assert len(made) == len(set(made))
    assert read.root_dataset["conformsTo"].id == crate.PROFILE
    assert read.name == "kbench experiment made-up"


def test_an_unfinished_experiment_has_no_crate(tmp_path, kbench, refused):
    folder = write_experiment(tmp_path / "made-up", {"cosine": 1.0}, datasets=("world-shape",))
    (folder / "runs" / run_name("cosine", 1) / "evaluation/world-shape/zeroshot.json").unlink()
    with pytest.raises(UserError, match="1 of 4 results are missing"):
        crate.write(analysed(folder))
    refused(kbench("report", folder, "--crate"), "is not finished", "snakemake --cores all")
    assert not (folder / crate.FILE).exists() and (folder / "report" / "index.html").exists()
