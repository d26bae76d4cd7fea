"""Imported models stand in one table with those that the workflow trains."""

import csv
import shutil

import pytest
import tiny_models
from test_workflow import checkout, snakemake  # noqa: F401
from tiny import EXPERIMENT

ONE = EXPERIMENT.replace("name: tiny", "name: beside").replace(
    "variants: [cosine, {similarity: wpse-gaussian, set: {features: 32}}]",
    "variants: [cosine]\nmodels: [their-vit, their-filip]",
)


@pytest.mark.whole
def test_imported_models_beside_a_trained_one(checkout, kbench):  # noqa: F811
    tiny_models.write("vit", checkout / "open_clip")
    declared = ("--data", "world shape", "--licence", "MIT")
    for more in (("their-vit", *declared), ("their-filip", "--similarity", "filip")):
        done = kbench("model", "import", "open_clip", "--as", *more, cwd=checkout)
        assert done.returncode == 0, done.stderr
    (checkout / "workflow" / "experiments" / "beside.yaml").write_text(ONE)
    chosen = ("--cores", 2, "--config", "experiment=beside")
    done = snakemake(*chosen, cwd=checkout)
    assert done.returncode == 0, done.stderr
    results = checkout / "results" / "beside"
    with (results / "table.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["variant"] for row in rows} == {"cosine", "their-vit", "their-filip"}
    assert {row["status"] for row in rows} <= {"measured", "undefined"}
    trained = {row["variant"] for row in rows if row["epochs"]}
    assert trained == {"cosine"}
    page = (results / "report" / "index.html").read_text()
    assert "their-vit was trained on world-shape, as its authors declare" in page
    assert "their-filip was trained on" not in page and "not declared" in page
    assert "Nothing to be done" in snakemake(*chosen, cwd=checkout).stderr
    # Another model under the same name is another run, and the trained one stays as it is.
    shutil.rmtree(checkout / "models" / "their-vit")
    shutil.rmtree(checkout / "open_clip")
    tiny_models.write("coca", checkout / "open_clip")
    kbench("model", "import", "open_clip", "--as", "their-vit", cwd=checkout)
    planned = snakemake("-n", *chosen, cwd=checkout).stdout
    assert "rule take:" in planned and "rule pretrain:" not in planned


def test_an_experiment_of_models_alone_says_what_has_to_be_fetched(checkout, kbench, refused):  # noqa: F811
    shown = kbench("check", "released", cwd=checkout).stdout
    assert "download https://zenodo.org/records/15210698 into a folder, then kbench model" in shown
    assert "kbench model import ViT-B-16/laion2b_s34b_b88k --as vit-b-16-laion2b" in shown
    planned = snakemake("-n", "--cores", 1, "--config", "experiment=released", cwd=checkout)
    assert planned.returncode == 2 and "no model has been imported" in planned.stderr
    smoke = ("--config", "experiment=released", "smoke=true")
    jobs = snakemake("-n", "--cores", 1, *smoke, cwd=checkout).stdout
    assert "rule take:" in jobs and "rule pretrain:" not in jobs and "rule corpus:" not in jobs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("models: [a, a]", "models named twice: a"),
        ("models: [cosine]\nvariants: [cosine]", "corpus: Field required where variants are"),
        ("seeds: [0]\nmodels: [a]", "seeds: says how variants are trained, and there are none"),
        ("seeds: []", "name at least one to train, or one of `models`"),
        ("models: [{name: a, sorce: b}]", "did you mean 'source'"),
        ("recipe: arxiv-2404.19228\nmodels: [a]", "and trains nothing"),
    ],
)
def test_mistakes_are_named(kbench, refused, change, message, tmp_path):
    text = f"name: x\ndescription: x.\n{change}\nevaluation: {{datasets: [world-shape]}}\n"
    (tmp_path / "x.yaml").write_text(text)
    refused(kbench("check", "x.yaml", cwd=tmp_path), message)
