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
