"""The world's smoke experiment in the image, killed at random moments on its way, gives bit by bit
what it gives on the host undisturbed, and its rows say so. One seed of every variant: another seed
runs the same code.

KBENCH_TRUST=1 kills ten times; without it, four times.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import kills
import pytest
import yaml
from packages import differing

from kbench import files, provenance

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]


def one_seed(folder: Path) -> Path:
    """Write the experiment with one seed of each variant and return the file's path."""
    world = yaml.safe_load((REPOSITORY / "workflow" / "experiments" / "world.yaml").read_text())
    path = folder / "world.yaml"
    path.write_text(yaml.safe_dump({**world, "seeds": [0]}))
    return path


def chosen(folder: Path) -> tuple[str, list[str]]:
    """Return the name of the smoke experiment's results, and how Snakemake is told of it."""
    return "world-smoke", [f"experiment={one_seed(folder)}", "smoke=true"]


@pytest.fixture(scope="module")
def copies(tmp_path_factory) -> Path:
    """What a working directory holds of the checkout, twice: jobs are known by where they run."""
    folder = tmp_path_factory.mktemp("copies")
    for name in ("host", "killed"):
        (folder / name).mkdir()
        shutil.copy(REPOSITORY / "Snakefile", folder / name)
        shutil.copytree(REPOSITORY / "workflow", folder / name / "workflow")
        (folder / name / "profiles").symlink_to((REPOSITORY / "profiles").readlink())
    return folder


@pytest.fixture(scope="module")
def host(copies) -> Path:
    """Results of the host; those that KBENCH_HOST_RESULTS names, if they are of this code."""
    given = Path(os.environ.get("KBENCH_HOST_RESULTS", "none")).resolve()
    if (given / "world-smoke" / "table.json").exists() and code(given / "world-smoke") == {
        provenance.code_version()
    }:
        return given / "world-smoke"
    return kills.undisturbed(copies / "host", *chosen(copies)).results


@pytest.fixture(scope="module")
def disturbed(sif, copies) -> list[Path]:
    """Results of jobs in the image, of each time that the killed workflow was done."""
    number = 10 if "KBENCH_TRUST" in os.environ else 4
    done = kills.until_done(copies / "killed", number, *chosen(copies), sif.path)
    return [one.results for one in done]


@pytest.fixture
def contained(disturbed) -> Path:
    """One of them."""
    return disturbed[0]


def documents(folder: Path) -> dict[str, dict]:
    """Return {path below the folder: result document} of all evaluations."""
    paths = sorted(folder.glob("runs/*/evaluation/*/*.json"))
    return {str(path.relative_to(folder)): json.loads(path.read_text()) for path in paths}


def code(folder: Path) -> set[str]:
    """Return the code versions of all evaluations."""
    return {document["provenance"]["code_version"] for document in documents(folder).values()}


def test_every_metric_and_every_weight_is_the_same(host, disturbed, sif):
    here = documents(host)
    for folder in disturbed:
        inside = documents(folder)
        assert len(inside) > 60 and inside.keys() <= here.keys()
        unequal = [path for path in inside if here[path]["metrics"] != inside[path]["metrics"]]
        assert not unequal, f"{unequal}; packages that differ (host, image): {differing(sif)}"
        trained = sorted(folder.glob("runs/*/model.safetensors"))
        assert len(trained) == 5 and (folder / "report" / "index.html").is_file()
        for weights in trained:
            assert files.sha256(weights) == files.sha256(host / weights.relative_to(folder))


def test_every_row_has_the_digest_of_the_image(host, contained, sif):
    for folder, digest in ((host, None), (contained, files.sha256(sif.path))):
        cards = [json.loads(path.read_text()) for path in folder.glob("runs/*/model.json")]
        assert cards and {card["image_digest"] for card in cards} == {digest}
        assert {
            document["provenance"]["image_digest"] for document in documents(folder).values()
        } == {digest}


def test_rows_of_two_images_are_refused_naming_both(contained, sif, kbench, refused, tmp_path):
    subprocess.run(["cp", "-r", contained, tmp_path / "mixed"], check=True)
    path = next((tmp_path / "mixed").glob("runs/*/evaluation/*/*.json"))
    document = json.loads(path.read_text())
    document["provenance"]["image_digest"] = other = "0" * 64
    path.write_text(json.dumps(document))
    refused(kbench("compare", tmp_path / "mixed"), sif.digest, other)
