"""The demo's smoke experiment in the image gives bit by bit what it gives on the host, and its rows
say so. One seed of every variant: another seed runs the same code.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

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


def smoke(results: Path, *options: str) -> Path:
    """Run the smoke experiment with one seed and return its folder."""
    command = [sys.executable, "-m", "snakemake", "--cores", "all", "--quiet", "all", *options]
    done = subprocess.run(
        [
            *command,
            "--config",
            f"experiment={one_seed(results)}",
            "smoke=true",
            f"results={results}",
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return results / "world-smoke"


@pytest.fixture(scope="module")
def host(tmp_path_factory) -> Path:
    """Results of the host; those that KBENCH_HOST_RESULTS names, if they are of this code."""
    given = Path(os.environ.get("KBENCH_HOST_RESULTS", "none")).resolve()
    if (given / "world-smoke" / "table.json").exists() and code(given / "world-smoke") == {
        provenance.code_version()
    }:
        return given / "world-smoke"
    return smoke(tmp_path_factory.mktemp("host"))


@pytest.fixture(scope="module")
def contained(sif, tmp_path_factory) -> Path:
    """Results of jobs in the image."""
    return smoke(
        tmp_path_factory.mktemp("contained"), "--use-singularity", "--config", f"image={sif.path}"
    )


def documents(folder: Path) -> dict[str, dict]:
    """Return {path below the folder: result document} of all evaluations."""
    paths = sorted(folder.glob("runs/*/evaluation/*/*.json"))
    return {str(path.relative_to(folder)): json.loads(path.read_text()) for path in paths}


def code(folder: Path) -> set[str]:
    """Return the code versions of all evaluations."""
    return {document["provenance"]["code_version"] for document in documents(folder).values()}


def test_every_metric_and_every_weight_is_the_same(host, contained, sif):
    here, inside = documents(host), documents(contained)
    assert len(inside) > 60 and inside.keys() <= here.keys()
    unequal = [path for path in inside if here[path]["metrics"] != inside[path]["metrics"]]
    assert not unequal, f"{unequal}; packages that differ (host, image): {differing(sif)}"
    for weights in sorted(contained.glob("runs/*/model.safetensors")):
        assert files.sha256(weights) == files.sha256(host / weights.relative_to(contained)), weights


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
