"""Where pairs come from: brace patterns, URLs, weighted sources, tables; and how many make an
epoch.
"""

import functools
import http.server
import itertools
import threading
import zlib
from collections import Counter

import fsspec
import numpy as np
import pytest
from corpus_files import encode, write_shard

from kbench.corpus import shards, stream
from kbench.corpus.crop import Cropper
from kbench.corpus.kinds.table import ROWS_PER_SHARD, TableCorpus
from kbench.corpus.kinds.webdataset import WebdatasetCorpus
from kbench.corpus.manifest import verify
from kbench.errors import UserError
from kbench.locations import Locations

PNG = encode(np.zeros((8, 8, 3), dtype=np.uint8))


def web(*sources, **settings):
    return WebdatasetCorpus(kind="webdataset", name="web", sources=sources, **settings)


def write(folder, name, pairs, shard):
    """Write numbered pairs whose captions say shard and place."""
    members = [
        (f"{place}.{suffix}", PNG if suffix == "png" else f"{shard}/{place}".encode())
        for place in range(pairs)
        for suffix in ("png", "txt")
    ]
    write_shard(folder / name, members)


@pytest.fixture
def data(tmp_path):
    """Two sources of 4 and 2 shards of 5 pairs."""
    for shard in range(4):
        write(tmp_path, f"first/{shard:04d}.tar", 5, f"first-{shard}")
    for shard in range(2):
        write(tmp_path, f"second/part {shard}.tar", 5, f"second-{shard}")
    return tmp_path


def number(text):
    return zlib.crc32(text.encode())


def captions(corpus, where, batches, rank=0, world_size=1, skip=0):
    """Return the captions of the first batches of 5."""
    texts = {}

    def tokenize(captions):
        texts.update({number(caption): caption for caption in captions})
        return np.array([[number(caption)] for caption in captions])

    made = stream.PairStream(
        corpus,
        where,
        verify(corpus, where),
        tokenize,
        Cropper(8, None),
        stream.Share(5, 0, rank, world_size, skip),
    )
    return [
        [texts[i] for i in tokens.flatten().tolist()]
        for _, tokens in itertools.islice(iter(made), batches)
    ]


def test_brace_patterns_name_shards_in_order(data):
    where = Locations(data=data)
    names = [
        shard.name for shard in web("first/{0002..0003}.tar", "second/part {1,0}.tar").shards(where)
    ]
    assert names == ["first/0002.tar", "first/0003.tar", "second/part 1.tar", "second/part 0.tar"]
    assert [shard.name for shard in web("first/*.tar").shards(where)] == [
        f"first/{i:04d}.tar" for i in range(4)
    ]
    with pytest.raises(UserError, match=r"no file matches 0004\.tar"):
        web("first/{0003..0004}.tar").shards(where)
    with pytest.raises(UserError, match="third: the folder does not exist"):
        web("third/*.tar").shards(where)


def test_held_out_shards_are_never_trained_on(data):
    corpus, where = (
        web("first/{0000..0002}.tar", held_out_sources=("first/0003.tar",)),
        Locations(data=data),
    )
    found = verify(corpus, where)
    assert [shard.name for shard in found.held_out] == ["first/0003.tar"] and found.pairs == 15
    seen = set(itertools.chain.from_iterable(captions(corpus, where, 9)))
    assert len(seen) == 15 and not any(caption.startswith("first-3") for caption in seen)


def test_weights_are_passes_in_an_epoch(data):
    where = Locations(data=data)
    corpus = web({"shards": "first/*.tar", "weight": 0.5}, {"shards": "second/*.tar", "weight": 2})
    assert verify(corpus, where).pairs == 4 * 5 * 0.5 + 2 * 5 * 2
    epochs = np.array_split(list(itertools.chain.from_iterable(captions(corpus, where, 60))), 10)
    for epoch in epochs:
        seen = Counter(epoch.tolist())
        assert {caption: n for caption, n in seen.items() if caption.startswith("second")} == {
            f"second-{shard}/{place}": 2 for shard in range(2) for place in range(5)
        }
        assert len([caption for caption in seen if caption.startswith("first")]) == 10
        assert max(n for caption, n in seen.items() if caption.startswith("first")) == 1
    assert len(set(itertools.chain.from_iterable(epochs))) == 30, "another half in other epochs"


def test_a_declared_epoch(data):
    assert verify(web("first/*.tar", samples=7), Locations(data=data)).pairs == 7


def test_what_is_trained_on_under_another_name_is_not_held_out(data):
    (data / "first" / "copy.tar").write_bytes((data / "first" / "0002.tar").read_bytes())
    corpus = web("first/{0000..0002}.tar", held_out_sources=("first/copy.tar",))
    with pytest.raises(UserError, match=r"first/copy.tar has the same content as first/0002.tar"):
        verify(corpus, Locations(data=data))


def test_ranks_share_weighted_shards_without_overlap(data):
    corpus = web({"shards": "first/*.tar", "weight": 0.5}, "second/*.tar")
    parts = [captions(corpus, Locations(data=data), 1, rank, 4)[0] for rank in range(4)]
    assert len(set(itertools.chain.from_iterable(parts))) == 20


def test_entering_late_reads_only_what_is_wanted(data, monkeypatch):
    """Whole epochs, and shards whose samples were all used, are passed over without being
    opened.
    """
    monkeypatch.setattr(stream, "SHUFFLE_BUFFER", 3)
    monkeypatch.setattr(stream, "CACHE_BYTES", 0)
    corpus, where = web("first/*.tar", "second/*.tar"), Locations(data=data)
    whole = captions(corpus, where, 30)
    manifest = verify(corpus, where)
    opened = []
    read = shards.read_samples
    monkeypatch.setattr(shards, "read_samples", lambda *given: opened.append(given) or read(*given))
    monkeypatch.setattr("test_sources.verify", lambda *given: manifest)
    for skip in (1, 6, 11, 17, 23):
        opened.clear()
        assert captions(corpus, where, 1, skip=skip) == whole[skip : skip + 1]
        assert len(opened) <= 4, "at most the shards that a batch and the buffer reach"


class TestRemote:
    def test_shards_of_any_file_system(self, data):
        remote = fsspec.filesystem("memory")
        for shard in range(4):
            remote.pipe(f"/bucket/{shard:04d}.tar", (data / f"first/{shard:04d}.tar").read_bytes())
        here, nowhere = Locations(data=data), Locations()
        braces, stars = web("memory://bucket/{0000..0003}.tar"), web("memory://bucket/*.tar")
        assert (
            verify(braces, nowhere).sha256
            == verify(web("first/*.tar"), here).sha256
            == verify(stars, nowhere).sha256
        )
        assert captions(braces, nowhere, 8) == captions(web("first/*.tar"), here, 8)
        with pytest.raises(UserError, match=r"no such shard: memory://bucket/0004\.tar"):
            verify(web("memory://bucket/{0003..0004}.tar"), nowhere)
        with pytest.raises(UserError, match="nothing matches"):
            verify(web("memory://elsewhere/*.tar"), nowhere)

    def test_shards_over_http(self, data):
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *given):
                pass

        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Quiet, directory=data)
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            found = verify(web(f"{address}/first/{{0000..0003}}.tar"), Locations())
            assert found.sha256 == verify(web("first/*.tar"), Locations(data=data)).sha256
            with pytest.raises(UserError, match="no such shard"):
                verify(web(f"{address}/first/0009.tar"), Locations())
        finally:
            server.shutdown()

    def test_a_broken_connection_is_tried_again_and_then_an_error(self, monkeypatch):
        attempts = []

        class Broken:
            def get_file(self, source, target):
                attempts.append(source)
                raise ConnectionResetError("peer went away")

        monkeypatch.setattr(shards, "_file_system", lambda url: (Broken(), url))
        monkeypatch.setattr(shards.time, "sleep", lambda seconds: None)
        with pytest.raises(UserError, match=r"cannot fetch far://away\.tar: peer went away"):
            verify(web("far://away.tar"), Locations())
        assert len(attempts) == shards.DOWNLOAD_ATTEMPTS

    def test_a_protocol_that_fsspec_does_not_know(self):
        with pytest.raises(UserError, match="cannot read nonsense://x"):
            verify(web("nonsense://x/*.tar"), Locations())


class TestTable:
    @pytest.fixture
    def table(self, tmp_path):
        """A table of 1100 rows, most with one of two images, and some that cannot be used."""
        for name in ("red.png", "deep/blue.png"):
            (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "pictures" / name).write_bytes(PNG)
        (tmp_path / "secret.png").write_bytes(PNG)
        rows = [
            f'{("red.png", "deep/blue.png")[n % 2]},"caption {n},\nsecond line"'
            for n in range(1100)
        ]
        rows[3], rows[600], rows[601] = (
            "../secret.png,a",
            f"{tmp_path}/secret.png,a",
            "absent.png,a",
        )
        rows[602], rows[603], rows[604] = "red.png", "red.png,", "red.png," + "x" * 200_000
        text = "﻿filepath,title\r\n" + "\r\n".join(rows)
        (tmp_path / "pairs.csv").write_bytes(text.encode().replace(b"caption 700,", b"caf\xe9"))
        return tmp_path

    def corpus(self, **settings):
        named = {
            "file": "pairs.csv",
            "images": "pictures",
            "image_column": "filepath",
            "caption_column": "title",
        }
        return TableCorpus(kind="table", name="table", **named | settings)

    def test_rows_are_pairs(self, table):
        corpus, where = self.corpus(), Locations(data=table)
        found = verify(corpus, where)
        assert [shard.name for shard in found.shards] == [
            f"pairs.csv[{first}:{min(first + ROWS_PER_SHARD, 1100)}]"
            for first in range(0, 1100, ROWS_PER_SHARD)
        ]
        assert found.problems == {
            "no image": 3,
            "empty caption": 1,
            "no caption": 1,
            "huge caption": 1,
            "caption not UTF-8": 1,
        }
        assert found.pairs == 1100 - 7
        seen = list(itertools.chain.from_iterable(captions(corpus, where, 219)))
        assert len(set(seen[: found.pairs])) == found.pairs
        assert all(
            caption.startswith("caption ") and caption.endswith(", second line") for caption in seen
        )

    def test_the_manifest_follows_the_content(self, table):
        corpus, where = self.corpus(), Locations(data=table)
        before = verify(corpus, where).sha256
        (table / "pictures" / "red.png").write_bytes(encode(np.ones((8, 8, 3), dtype=np.uint8)))
        changed = verify(corpus, where).sha256
        text = (table / "pairs.csv").read_bytes()
        (table / "pairs.csv").write_bytes(text.replace(b"caption 9,", b"caption nine,"))
        assert len({before, changed, verify(corpus, where).sha256}) == 3

    def test_tabs(self, table):
        for name, caption in (("pairs", "a, b"), ("held", "c")):
            (table / f"{name}.tsv").write_text(f"image\tcaption\nred.png\t{caption}\n")
        corpus = self.corpus(
            file="pairs.tsv",
            image_column="image",
            caption_column="caption",
            held_out_file="held.tsv",
        )
        found = verify(corpus, Locations(data=table))
        assert found.pairs == 1 and [shard.name for shard in found.held_out] == ["held.tsv[0:1]"]

    @pytest.mark.parametrize(
        ("settings", "reason"),
        [
            (
                {"caption_column": "titel"},
                r"unknown column of .*pairs\.csv 'titel'; did you mean 'title'",
            ),
            ({"file": "absent.csv"}, "no such table"),
            ({"file": "empty.csv"}, "has no rows"),
        ],
    )
    def test_bad_tables_are_refused(self, table, settings, reason):
        (table / "empty.csv").write_text("filepath,title\n")
        with pytest.raises(UserError, match=reason):
            verify(self.corpus(**settings), Locations(data=table))
