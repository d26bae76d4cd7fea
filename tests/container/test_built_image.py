"""What `kbench container build` made and wrote down, on the real image and the real engine."""

import pytest
from packages import differing

from kbench import __version__, files, provenance
from kbench.container import apptainer, engine, record

pytestmark = pytest.mark.slow


def test_the_record_describes_the_image(sif):
    written = record.read(sif.path.parent)
    assert written.sif.sha256 == sif.digest == files.sha256(sif.path)
    assert (written.sif.path, written.sif.bytes) == (sif.path.name, sif.path.stat().st_size)
    assert written.code_version == provenance.code_version() and written.base and written.base_id
    assert (
        len(written.wheels) == len(written.packages)
        and {"torch", "kbench"} <= written.packages.keys()
    )


def test_its_bill_of_materials_has_a_hash_for_every_package(sif, kbench, tmp_path):
    options = ("--image", sif.path.parent, "--sbom", tmp_path / "sbom.json")
    done = kbench("packages", *options)
    assert done.returncode == 0 and done.stdout.startswith("base: ")
    components = files.read_json(tmp_path / "sbom.json")["components"]
    assert len(components) == len(record.read(sif.path.parent).packages)
    assert not [one["name"] for one in components if "hashes" not in one]


def test_the_image_holds_the_hosts_versions(sif):
    assert not differing(sif)


def test_labels_and_user(sif, docker_image):
    with engine.session() as client:
        config = engine.find(client, docker_image).attrs["Config"]
    assert config["User"] == "kbench"
    revision = record.read(sif.path.parent).revision
    for labels in (config["Labels"], apptainer.labels(sif.path)):
        assert labels["org.opencontainers.image.version"] == __version__
        assert labels["org.opencontainers.image.revision"] == revision
        assert labels["kbench.code"] == provenance.code_version()
