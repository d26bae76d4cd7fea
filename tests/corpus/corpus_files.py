"""Shards written for the tests."""

import io
import tarfile

import numpy as np
from PIL import Image


def write_shard(path, members):
    """Write (name, bytes) members into a tar file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def encode(image, form="png", **options):
    """Return a PIL image or an array in a file format."""
    stream = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(stream, form, **options)
    return stream.getvalue()


def pictures_and_labels(folder, shards, images, side):
    """Write PNG images of random pixels with class indices from 0 to 9, always the same."""
    generator = np.random.default_rng(0)
    for shard in range(shards):
        members = []
        for image in range(images):
            members += [
                (
                    f"{image:05d}.png",
                    encode(generator.integers(0, 256, (side, side, 3), dtype=np.uint8)),
                ),
                (f"{image:05d}.cls", str(generator.integers(10)).encode()),
            ]
        write_shard(folder / f"{shard}.tar", members)
