"""Damaged and unusual samples: training goes on without them, they are counted, and too many are an
error.
"""

import io
import itertools
import pickle
import tarfile
import zlib

import numpy as np
import pytest
import torch
from corpus_files import encode, write_shard
from PIL import Image

from kbench.corpus import picture, stream
from kbench.corpus.base import MAX_CAPTION_BYTES
from kbench.corpus.crop import Cropper
from kbench.corpus.kinds.webdataset import WebdatasetCorpus
from kbench.corpus.manifest import verify
from kbench.errors import UserError
from kbench.locations import Locations

GENERATOR = np.random.default_rng(0)
SCENE = GENERATOR.integers(0, 256, (6, 9, 3), dtype=np.uint8).repeat(5, axis=0).repeat(5, axis=1)
JPEG = encode(SCENE, "jpeg")


def corpus(**settings):
    return WebdatasetCorpus(kind="webdataset", name="web", sources=["web/*.tar"], **settings)


def pair(key, image=JPEG, caption=b"a caption", suffix="jpg"):
    return [(f"{key}.{suffix}", image)] * (image is not None) + [(f"{key}.txt", caption)] * (
        caption is not None
    )


def good(shard, number=20):
    return [
        member
        for place in range(number)
        for member in pair(f"{shard}-{place}", caption=f"{shard}-{place}".encode())
    ]


def rotated():
    exif = Image.Exif()
    exif[picture.ORIENTATION] = 6
    return encode(SCENE, "jpeg", exif=exif)


def claiming(width, height):
    """A PNG of a few bytes whose header claims a size."""
    data = bytearray(encode(Image.new("1", (1, 1))))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


UNUSABLE = {
    "zero-byte": ("undecodable image", pair("x", b"")),
    "no image format": ("undecodable image", pair("x", b"GIF89a but not really")),
    "cut off": ("undecodable image", pair("x", JPEG[: len(JPEG) // 2])),
    "postscript": (
        "undecodable image",
        pair("x", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    ),
    "bomb": ("huge image", pair("x", claiming(50_000, 50_000), suffix="png")),
    "larger than the limit": ("huge image", pair("x", claiming(9_000, 9_000), suffix="png")),
    "no image": ("no image", pair("x", None)),
    "no caption": ("no caption", pair("x", caption=None)),
    "empty": ("empty caption", pair("x", caption=b" \n\n")),
    "huge": ("huge caption", pair("x", caption=b"x" * (MAX_CAPTION_BYTES + 1))),
    "latin-1": ("caption not UTF-8", pair("x", caption="café".encode("latin-1"))),
    "twice": ("duplicate key", pair("0-3")),
    "twice in a row": ("duplicate key", pair("0-19")),
}

UNUSUAL = {
    "CMYK": encode(Image.fromarray(SCENE).convert("CMYK"), "jpeg"),
    "palette": encode(Image.fromarray(SCENE).quantize(16)),
    "16-bit": encode(Image.fromarray(SCENE[..., 0].astype(np.uint16) * 257)),
    "EXIF-rotated": rotated(),
    "greyscale": encode(Image.fromarray(SCENE[..., 0]), "jpeg"),
    "alpha": encode(Image.fromarray(SCENE).convert("RGBA")),
}


def batches(where, settings, number, workers=0, skip=0, size=16):
    made = stream.PairStream(
        settings,
        where,
        verify(settings, where),
        lambda captions: np.array([[zlib.crc32(caption.encode())] for caption in captions]),
        Cropper(size, None),
        stream.Share(4, seed=0, skip=skip),
    )
    return list(itertools.islice(iter(stream.load(made, workers)), number))


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_sample_is_counted_and_passed_over(tmp_path, name):
    kind, members = UNUSABLE[name]
    write_shard(tmp_path / "web" / "0.tar", [*good(0), *members, *good(1)])
    where = Locations(data=tmp_path)
    found = verify(corpus(max_unusable=0.05), where)
    assert (found.problems, found.pairs, found.shards[0].samples) == ({kind: 1}, 40, 41)
    captions = torch.cat(
        [tokens for _, tokens in batches(where, corpus(max_unusable=0.05), 10)]
    ).flatten()
    assert len(set(captions.tolist())) == 40, "an epoch has every usable pair once"
    with pytest.raises(
        UserError, match=rf"1 of 41 samples.*max_unusable = 0.01.*{kind} 1.*0\.tar, sample"
    ):
        verify(corpus(), where)


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_image_is_counted_and_used(tmp_path, name):
    write_shard(tmp_path / "web" / "0.tar", [*good(0), *pair("x", UNUSUAL[name], b"x")])
    where = Locations(data=tmp_path)
    found = verify(corpus(), where)
    assert (found.problems, found.unusual, found.pairs) == ({}, {name: 1}, 21)
    assert any("1" in line and name in line for line in found.summary())
    reference = picture.pixels(JPEG).astype(float)
    assert np.abs(picture.pixels(UNUSUAL[name]).astype(float).mean() - reference.mean()) < 25, (
        "brightness survives"
    )
    images = torch.cat([images for images, _ in batches(where, corpus(), 5)])
    assert images.shape == (20, 3, 16, 16)


def test_sixteen_bits_keep_their_range():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    assert (picture.pixels(encode(Image.fromarray(ramp)))[..., 0] == ramp >> 8).all()


@pytest.mark.parametrize("keep", [0, 100, 0.3, 0.8])
def test_a_truncated_shard_gives_what_it_has(tmp_path, keep):
    for shard in range(3):
        write_shard(tmp_path / "web" / f"{shard}.tar", good(shard))
    path = tmp_path / "web" / "1.tar"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if 0 < keep < 1 else keep])
    where = Locations(data=tmp_path)
    with pytest.raises(UserError, match=r"1 of 3 shards.*truncated shard 1.*1\.tar"):
        verify(corpus(), where)
    settings = corpus(max_unusable=0.4)
    found = verify(settings, where)
    assert found.problems["truncated shard"] == 1 and found.shards[1].damaged
    assert found.shards[1].pairs < 20 and found.shards[0].pairs == 20
    assert (found.shards[1].pairs > 0) == (keep in (0.3, 0.8))
    captions = torch.cat(
        [tokens for _, tokens in batches(where, settings, found.pairs // 4)]
    ).flatten()
    assert len(set(captions.tolist())) == len(captions)


def test_shards_that_are_something_else(tmp_path):
    write_shard(tmp_path / "web" / "0.tar", good(0))
    (tmp_path / "web" / "1.tar").write_bytes(pickle.dumps(ValueError))
    with tarfile.open(tmp_path / "web" / "2.tar", "w:gz") as archive:
        archive.add(tmp_path / "web" / "0.tar", "0.jpg")
    write_shard(tmp_path / "web" / "3.tar", [])
    found = verify(corpus(max_unusable=0.8), Locations(data=tmp_path))
    assert found.problems == {"truncated shard": 2, "empty shard": 1} and found.pairs == 20


def test_a_corpus_of_nothing_is_refused(tmp_path):
    write_shard(tmp_path / "web" / "0.tar", pair("x", b""))
    with pytest.raises(UserError, match="no usable pairs"):
        verify(corpus(max_unusable=1), Locations(data=tmp_path))


def test_members_never_become_paths(tmp_path):
    names = ["/etc/passwd", "../../outside", "a/../../b", "./c", "d" * 90]
    members = [member for name in names for member in pair(name)]
    write_shard(tmp_path / "data" / "web" / "0.tar", members)
    link = tarfile.TarInfo("link.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "data" / "web" / "0.tar", "a") as archive:
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("link.txt"), io.BytesIO())
    before = sorted(tmp_path.rglob("*"))
    found = verify(corpus(max_unusable=0.5), Locations(data=tmp_path / "data"))
    assert found.pairs == 5 and found.problems == {"empty caption": 1}
    assert sorted(tmp_path.rglob("*")) == before


def test_the_stream_is_the_same_with_workers_and_entered_late(tmp_path):
    """Skipping is by place, so it moves nothing."""
    for shard in range(4):
        bad = UNUSABLE[list(UNUSABLE)[shard]][1]
        write_shard(
            tmp_path / "web" / f"{shard}.tar", [*good(f"{shard}a", 7), *bad, *good(f"{shard}b", 6)]
        )
    where, settings = Locations(data=tmp_path), corpus(max_unusable=0.2)
    for workers in (0, 2):
        whole = batches(where, settings, 40, workers)
        for skip in (5, 14, 37):
            late = batches(where, settings, 40 - skip, workers, skip)
            for (images, tokens), (same_images, same_tokens) in zip(
                late, whole[skip:], strict=True
            ):
                assert torch.equal(images, same_images) and torch.equal(tokens, same_tokens)


def test_a_sample_that_broke_after_verification_is_named(tmp_path):
    write_shard(tmp_path / "web" / "0.tar", good(0))
    where = Locations(data=tmp_path)
    found = verify(corpus(), where)
    members = good(0)
    members[6] = ("0-3.jpg", JPEG[:200])
    write_shard(tmp_path / "web" / "0.tar", members)
    made = stream.PairStream(
        corpus(),
        where,
        found,
        lambda c: np.zeros((len(c), 1)),
        Cropper(16, None),
        stream.Share(20, 0),
    )
    with pytest.raises(UserError, match=r"0\.tar, sample '0-3' has changed since it was verified"):
        next(iter(made))
    write_shard(tmp_path / "web" / "0.tar", good(0, 19))
    with pytest.raises(UserError, match="holds 19 usable pairs, not 20"):
        next(iter(made))


def test_in_several_processes_the_manifest_is_the_same(tmp_path):
    for shard in range(3):
        write_shard(tmp_path / "web" / f"{shard}.tar", [*good(shard), *UNUSABLE["cut off"][1]])
    where = Locations(data=tmp_path)
    assert verify(corpus(max_unusable=0.1), where) == verify(
        corpus(max_unusable=0.1), where, processes=2
    )
