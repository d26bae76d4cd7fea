"""A small world, made once, and reading its shards without any of kbench's readers."""

import tarfile
from pathlib import Path

import pytest

from kbench.world import World
from kbench.world.make import make
from kbench.world.manifest import WorldSettings

SMALL = WorldSettings(seed=0, pairs=512, eval_images=64)


@pytest.fixture(scope="session")
def world():
    return World()


@pytest.fixture(scope="session")
def small_world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worlds") / "small"
    assert make(folder, SMALL)
    return folder


@pytest.fixture(scope="session")
def read_shards():
    return _read_shards


def _read_shards(folder: Path) -> list[dict[str, bytes]]:
    """Return the samples of a folder's shards in order, each a mapping from suffix to content."""
    samples: dict[str, dict[str, bytes]] = {}
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard) as archive:
            for member in archive:
                key, suffix = member.name.split(".")
                samples.setdefault(key, {})[suffix] = archive.extractfile(member).read()
    return list(samples.values())
