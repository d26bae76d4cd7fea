"""Evaluation images against torchvision itself, byte for byte, from the image file to the tower's
pixels.
"""

import io
import tarfile

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms

from kbench.corpus import picture
from kbench.datasets.dataset import get
from kbench.datasets.reader import Split
from kbench.datasets.transform import Transform
from kbench.errors import UserError

MODES = ("RGB", "L", "LA", "P", "P transparent", "RGBA", "CMYK", "1", "I;16", "RGB rotated")
ORIENTATION = 0x0112


def encoded(mode, width, height, seed=0):
    """Return an image file of random pixels in a mode."""
    generator, stream, options = np.random.default_rng(seed), io.BytesIO(), {}
    bands = {"L": 1, "LA": 2, "RGBA": 4, "CMYK": 4, "1": 1}.get(mode, 3)
    if mode == "I;16":
        image = Image.fromarray(generator.integers(0, 1024, (height, width), dtype=np.uint16))
    else:
        values = generator.integers(0, 256, (height, width, bands), dtype=np.uint8)
        image = Image.fromarray(
            values.squeeze(2) if bands == 1 else values, "CMYK" if mode == "CMYK" else None
        )
    if mode == "1":
        image = image.convert("1")
    if mode.startswith("P"):
        image = image.quantize(16)
        options = {"transparency": bytes(range(0, 256, 16))} if "transparent" in mode else {}
    if "rotated" in mode:
        image.getexif()[ORIENTATION] = 6
        options = {"exif": image.getexif()}
    image.save(stream, "JPEG" if mode in ("CMYK", "RGB rotated") else "PNG", **options)
    return stream.getvalue()


def torchvisions(content, transform):
    """Return what the released loader makes of an image file: RGB first, then torchvision."""
    steps = [
        transforms.Resize(transform.resize, transforms.InterpolationMode.BICUBIC),
        transforms.CenterCrop(transform.crop),
    ]
    return np.asarray(transforms.Compose(steps)(Image.open(io.BytesIO(content)).convert("RGB")))


def check(content, transform):
    ours, theirs = transform(picture.rgb(content)), torchvisions(content, transform)
    assert ours.dtype == theirs.dtype == np.uint8 and ours.shape == theirs.shape
    assert np.array_equal(ours, theirs)


TRANSFORMS = [
    Transform.whole(224),
    Transform.released_probe(224),
    Transform.whole(33),
    Transform.released_probe(33),
]


def test_the_released_probe_resizes_to_256():
    assert Transform.released_probe(224) == Transform(256, 224)
    assert Transform.whole(224) == Transform(224, 224)


@pytest.mark.whole
@pytest.mark.parametrize("transform", TRANSFORMS, ids=str)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "size", [(500, 375), (375, 501), (1, 90), (130, 1), (224, 224), (257, 256), (3, 2), (1000, 31)]
)
def test_every_mode_and_shape_is_torchvisions_byte_for_byte(mode, size, transform):
    check(encoded(mode, *size), transform)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(MODES),
    st.integers(1, 400),
    st.integers(1, 400),
    st.sampled_from(TRANSFORMS) | st.builds(Transform.released_probe, st.integers(1, 64)),
    st.integers(0, 9),
)
@example("RGB", 1, 400, TRANSFORMS[1], 0)
@example("RGB", 400, 1, TRANSFORMS[1], 0)
@example("RGB", 225, 451, TRANSFORMS[0], 0)
def test_any_size_is_torchvisions_byte_for_byte(mode, width, height, transform, seed):
    check(encoded(mode, width, height, seed), transform)


def shard(root, contents):
    (root / "test").mkdir(parents=True)
    (root / "test" / "nshards.txt").write_text("1")
    with tarfile.open(root / "test" / "0.tar", "w") as archive:
        for index, content in enumerate(contents):
            for suffix, member in (("png", content), ("txt", b"a caption")):
                info = tarfile.TarInfo(f"s{index}.{suffix}")
                info.size = len(member)
                archive.addfile(info, io.BytesIO(member))
    return Split(get("flickr8k_1k").model_copy(update={"n_test": len(contents)}), root, "test")


def test_a_split_yields_torchvisions_pixels_of_every_transform_from_one_decoding(
    tmp_path, monkeypatch
):
    contents = [encoded(mode, 90 + 7 * index, 61) for index, mode in enumerate(MODES)]
    split, decoded = shard(tmp_path, contents), []
    monkeypatch.setattr(
        "kbench.datasets.reader.rgb",
        lambda content: decoded.append(content) or picture.rgb(content),
    )
    chosen = [Transform.whole(48), Transform.released_probe(48)]
    batches = list(split.crops(4, chosen))
    assert decoded == contents
    for transform, images in zip(
        chosen, map(np.concatenate, zip(*batches, strict=True)), strict=True
    ):
        assert np.array_equal(
            images, np.stack([torchvisions(content, transform) for content in contents])
        )


def test_what_is_too_large_or_of_another_format_is_refused_undecoded(tmp_path, monkeypatch):
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"
    with pytest.raises(UserError, match=r"sample 's0': its image cannot be decoded"):
        list(shard(tmp_path / "a", [postscript]).batches(1, Transform.whole(32)))
    monkeypatch.setattr(picture, "MAX_PIXELS", 99)
    with pytest.raises(
        UserError, match=r"sample 's0': its image claims 10 x 10 pixels, more than 99"
    ):
        list(shard(tmp_path / "b", [encoded("RGB", 10, 10)]).batches(1, Transform.whole(32)))
    monkeypatch.undo()
    monkeypatch.setattr("kbench.datasets.transform.MAX_PIXELS", 224**2 * 49)
    with pytest.raises(
        UserError,
        match=r"sample 's0': its image of 100 x 2 pixels would have more than .* resized to 224",
    ):
        list(shard(tmp_path / "c", [encoded("RGB", 100, 2)]).batches(1, Transform.whole(224)))
