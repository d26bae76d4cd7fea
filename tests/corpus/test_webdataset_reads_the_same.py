"""webdataset, unmodified, gets from shards the samples that kbench's own reader gets."""

import numpy as np
import pytest
import webdataset
from corpus_files import encode, write_shard

from kbench.corpus.shards import read_samples

IMAGE = encode(np.zeros((4, 4, 3), dtype=np.uint8))
SHARDS = {
    "pairs": [("0.png", IMAGE), ("0.txt", b"zero"), ("1.png", IMAGE), ("1.txt", b"one")],
    "folders": [("a/0.png", IMAGE), ("a/0.txt", b"x"), ("b/0.png", IMAGE), ("b/0.txt", b"y")],
    "dots": [("0.seg.png", IMAGE), ("0.txt", b"x"), ("v1.2/0.png", IMAGE), ("v1.2/0.txt", b"y")],
    "capitals": [("0.PNG", IMAGE), ("0.Txt", b"x"), ("1.png", IMAGE)],
    "lonely": [("0.png", IMAGE), ("1.txt", b"x"), ("2.json", b"{}")],
    "no suffix": [("README", b"text"), ("0.png", IMAGE), ("0.txt", b"x")],
    "captions": [("0.png", IMAGE), ("0.txt", "é 日本\n".encode()), ("1.png", IMAGE)],
    "empty members": [("0.png", IMAGE), ("0.txt", b""), ("1.png", b""), ("1.txt", b"x")],
}


def by_webdataset(path):
    """Return (key, members by suffix) of every sample, without webdataset's own notes."""
    for sample in webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False):
        members = {name: data for name, data in sample.items() if not name.startswith("__")}
        yield sample["__key__"], members


@pytest.mark.parametrize("name", SHARDS)
def test_every_sample_is_the_same(tmp_path, name):
    path = tmp_path / "0.tar"
    write_shard(path, SHARDS[name])
    ours = list(read_samples(path))
    assert ours == list(by_webdataset(path))
    assert ours


def test_the_embedded_world_is_read_the_same(tiny_world):
    shards = sorted(tiny_world.rglob("*.tar"))
    assert len(shards) > 5
    for shard in shards:
        assert list(read_samples(shard)) == list(by_webdataset(shard))
