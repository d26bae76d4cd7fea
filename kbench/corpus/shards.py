"""Read one webdataset shard, from a file that may come from a stranger."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import webdataset
from PIL import Image

from kbench.corpus.base import IMAGE_SUFFIXES
from kbench.errors import UserError

MAX_PIXELS = 64_000_000
"""Larger images are refused before they are decoded: a small file can claim to be a huge picture."""

Sample = dict[str, bytes]


def read_samples(shard: Path) -> Iterator[tuple[str, Sample]]:
    """Yield (key, members by suffix) of every sample of a tar file, in order.

    Members are only ever read into memory: their names never become paths and nothing is unpickled.
    Raises UserError naming the shard if it is absent, truncated or not a tar file.
    """
    try:
        with shard.open("rb") as stream:
            _check_end(stream)
            source = [{"url": str(shard), "stream": stream}]
            members = webdataset.tariterators.tar_file_expander(source, eof_value=None)
            for group in webdataset.tariterators.group_by_keys(members):
                yield (
                    group.pop("__key__"),
                    {name: data for name, data in group.items() if isinstance(data, bytes)},
                )
    except FileNotFoundError as error:
        raise UserError(f"no such shard: {shard}") from error
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise UserError(f"shard {shard} is truncated or not a tar file: {error}") from error


def _check_end(stream: BinaryIO) -> None:
    """Raise ValueError unless a block of zeros ends the archive; tarfile takes many cut-off archives for whole ones."""
    stream.seek(0, os.SEEK_END)
    stream.seek(max(0, stream.tell() - tarfile.BLOCKSIZE))
    if stream.read() != tarfile.NUL * tarfile.BLOCKSIZE:
        raise ValueError("it has no end-of-archive block")
    stream.seek(0)


def decode_image(sample: Sample) -> np.ndarray:
    """Return the sample's image as (height, width, 3) uint8.

    Raises UserError if there is none, it cannot be decoded, or it has more than MAX_PIXELS pixels.
    """
    encoded = next((sample[suffix] for suffix in IMAGE_SUFFIXES if suffix in sample), None)
    if encoded is None:
        raise UserError(f"it has no image (.{', .'.join(IMAGE_SUFFIXES)})")
    try:
        image = Image.open(io.BytesIO(encoded))
        if image.width * image.height > MAX_PIXELS:
            raise UserError(f"its image claims {image.width} x {image.height} pixels, more than {MAX_PIXELS}")
        return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"its image cannot be decoded: {error}") from error
