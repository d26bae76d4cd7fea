"""Crops of encoded photographs: near to torchvision's transform of the whole image, from no more
pixels than needed.
"""

import io

import numpy as np
import pytest
from corpus_files import encode
from PIL import Image
from sklearn.datasets import load_sample_image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resized_crop

from kbench.corpus import picture
from kbench.corpus.augmentation import Crop
from kbench.corpus.crop import Cropper, random_box


def photographs():
    """A building in sharp detail and a flower before a blurred ground, 640 x 427, and parts of odd
    size.
    """
    whole = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    return [*whole, whole[0][:425, :637], whole[1][3:, :333]]


@pytest.mark.parametrize(
    ("form", "size", "expected"),
    [
        ("jpeg", 224, {1}),
        ("jpeg", 160, {1}),
        ("jpeg", 96, {1, 2}),
        ("jpeg", 64, {2, 4}),
        ("jpeg", 32, {4, 8}),
        ("jpeg", 20, {8}),
        ("png", 224, {1}),
    ],
)
def test_crops_are_near_torchvisions(form, size, expected):
    generator, factors = np.random.default_rng(0), set()
    for photograph in photographs():
        encoded = encode(photograph, form, **({"quality": 92} if form == "jpeg" else {}))
        whole = Image.open(io.BytesIO(encoded))
        for scale in ((0.5, 1.0), (0.9, 1.0), (1.0, 1.0)):
            box = random_box(*photograph.shape[:2], scale, generator)
            left, top, right, bottom = box
            theirs = resized_crop(
                whole,
                top,
                left,
                bottom - top,
                right - left,
                [size, size],
                InterpolationMode.BICUBIC,
            )
            ours = picture.EncodedPicture(encoded).cut(box, size)
            assert ours.shape == (3, size, size) and ours.dtype == np.uint8
            difference = np.abs(ours.transpose(1, 2, 0).astype(int) - np.asarray(theirs)).mean()
            factor = round(picture._reduce(Image.open(io.BytesIO(encoded)), box, size))
            assert difference <= (2 if factor > 1 else 0.1), box
            factors.add(factor)
    assert factors <= expected and max(factors) == max(expected), (
        "decoded as small as the boxes allow"
    )


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "1"])
@pytest.mark.parametrize("size", [100, 20])
def test_other_colours_are_cropped_alike(mode, size):
    image = Image.fromarray(photographs()[1]).convert(mode)
    encoded = encode(image, "jpeg" if mode in ("L", "CMYK") else "png")
    whole = Image.open(io.BytesIO(encoded)).convert("RGB")
    theirs = np.asarray(
        resized_crop(whole, 10, 30, 400, 380, [size, size], InterpolationMode.BICUBIC)
    )
    ours = picture.EncodedPicture(encoded).cut((30, 10, 410, 410), size).transpose(1, 2, 0)
    assert np.abs(ours.astype(int) - theirs).mean() <= 2


def test_only_images_larger_than_the_crop_stay_encoded():
    photograph = photographs()[0]
    assert isinstance(picture.hold(encode(photograph), 224), picture.EncodedPicture)
    assert isinstance(picture.hold(encode(photograph[:200, :200]), 224), picture.Pixels)
    assert picture.hold(encode(photograph, "jpeg"), 224).nbytes < photograph.nbytes / 3


def test_the_same_crop_is_drawn_whatever_holds_the_picture():
    photograph = photographs()[1]
    crops = [
        Cropper(64, Crop(flip=True))(held, np.random.default_rng(3))
        for held in (picture.EncodedPicture(encode(photograph)), picture.Pixels(photograph))
    ]
    assert np.abs(crops[0].astype(int) - crops[1]).mean() < 1


def test_corrupt_files_end_in_one_kind_of_error():
    """Bytes changed at random: whatever the decoders raise, it is a sample that cannot be used."""
    generator, refused = np.random.default_rng(0), 0
    for form in ("jpeg", "png", "webp", "gif", "bmp"):
        whole = np.frombuffer(encode(photographs()[1][:60, :80], form), dtype=np.uint8)
        for _ in range(60):
            broken = whole.copy()
            places = generator.integers(len(whole), size=generator.integers(1, 20))
            broken[places] = generator.integers(256, size=len(places))
            data = broken[: generator.integers(1, len(whole) + 1)].tobytes()
            try:
                picture.check(data)
                picture.pixels(data)
            except picture.Unusable as error:
                refused += 1
                assert error.kind in ("undecodable image", "huge image")
    assert refused > 100
