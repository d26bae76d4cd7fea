"""Images per second of one core, from webdataset shards to batches; the baseline is open_clip's own
training pipeline.

The JPEGs are generated, with the spectrum of photographs. Both pipelines read the same shards from
their first to their last sample in one process and one thread, with the same tokenizer and the same
distribution of crops. What leaves them differs: kbench's batches are uint8 and are normalised on
the device, open_clip's are normalised floats.
"""

import argparse
import functools
import io
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np

from kbench.bench.measure import Row, alternate, say

if TYPE_CHECKING:
    import torch

INPUT_SIZE = 224
CROP_SCALE = (0.5, 1.0)
SHARDS = 2
QUALITY = 85
ASPECT = 3 / 4
SPECTRUM = 1.3
"""Amplitudes fall with this power of the frequency; photographs lie between 1 and 1.5."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the bench's arguments."""
    parser.add_argument(
        "--sides", nargs="+", type=int, default=[640], help="widths of the images; default 640"
    )
    parser.add_argument(
        "--images", type=int, default=512, help="images in a pass; default %(default)s"
    )
    parser.add_argument(
        "--loader-batch", type=int, default=64, help="images in a batch; default %(default)s"
    )
    parser.add_argument(
        "--loader-repeats", type=int, default=5, help="timed passes of each; default %(default)s"
    )


def rows(arguments: argparse.Namespace) -> list[Row]:
    """Measure, print the table, return the rows."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_row(side, arguments) for side in arguments.sides]
    finally:
        torch.set_num_threads(threads)


def _row(side: int, arguments: argparse.Namespace) -> Row:
    images = arguments.images // arguments.loader_batch * arguments.loader_batch
    with tempfile.TemporaryDirectory(prefix="kbench-loader-") as folder:
        size = write_shards(Path(folder), side, images)
        passes = [
            make(Path(folder), images, arguments.loader_batch) for make in (_kbench, _open_clip)
        ]
        seconds = alternate(*passes, arguments.loader_repeats)
    row = Row.of(
        f"loader/{side}px", images / seconds[0], "images per second and core", images / seconds[1]
    )
    say(
        f"{row.name:<16}{row.value:>8.0f} images/s  open_clip {row.baseline:.0f}  ratio"
        f" {row.ratio:.2f}   {side} x {round(side * ASPECT)}, {size / 1000:.0f} kB"
    )
    return row


def write_shards(folder: Path, side: int, images: int, shards: int = SHARDS) -> float:
    """Write generated images of that width in shards 0.tar, 1.tar ...; returns the mean size of an
    image in bytes.
    """
    import webdataset

    generator, total = np.random.default_rng(0), 0
    for shard in range(shards):
        with webdataset.TarWriter(str(folder / f"{shard}.tar")) as writer:
            for place in range(shard, images, shards):
                encoded = _jpeg(side, generator)
                total += len(encoded)
                words = generator.integers(10**6, size=10)
                caption = f"a photograph of {' and '.join(map(str, words))}"
                writer.write({"__key__": f"{place:06d}", "jpg": encoded, "txt": caption})
    return total / images


def _jpeg(side: int, generator: np.random.Generator) -> bytes:
    """Return noise with the spectrum of a photograph, its channels alike as those of photographs
    are.
    """
    from PIL import Image

    height = round(side * ASPECT)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = np.inf
    noise = generator.standard_normal((4, height, side))
    planes = np.fft.irfft2(np.fft.rfft2(noise) / frequency**SPECTRUM, s=(height, side))
    planes /= planes.std(axis=(1, 2), keepdims=True)
    pixels = 128 + 50 * (planes[0, ..., None] + 0.3 * planes[1:].transpose(1, 2, 0))
    stream = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, "jpeg", quality=QUALITY)
    return stream.getvalue()


def _kbench(folder: Path, images: int, batch_size: int) -> Callable[[], None]:
    """Return a pass of kbench's stream."""
    from kbench.corpus import stream
    from kbench.corpus.augmentation import Crop
    from kbench.corpus.crop import Cropper
    from kbench.corpus.kinds.webdataset import WebdatasetCorpus
    from kbench.corpus.manifest import verify
    from kbench.locations import Locations

    corpus = WebdatasetCorpus(kind="webdataset", name="bench", sources=[f"{{0..{SHARDS - 1}}}.tar"])
    where = Locations(data=folder)
    manifest, tokenize = verify(corpus, where), _tokenizer()

    def once() -> None:
        pairs = stream.PairStream(
            corpus,
            where,
            manifest,
            lambda captions: tokenize(captions).numpy(),
            Cropper(INPUT_SIZE, Crop(scale=CROP_SCALE)),
            stream.Share(batch_size, seed=0),
        )
        _consume(stream.load(pairs, workers=0), images, batch_size)

    return once


def _open_clip(folder: Path, images: int, batch_size: int) -> Callable[[], None]:
    """Return a pass of open_clip's training pipeline."""
    import kbench.towers.compat  # isort: skip  # noqa: F401
    from open_clip import image_transform
    from open_clip.transform import AugmentationCfg
    from open_clip_train import data

    from kbench.towers.config import IMAGENET_MEAN, IMAGENET_STD

    transform = image_transform(
        INPUT_SIZE,
        is_train=True,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        aug_cfg=AugmentationCfg(scale=CROP_SCALE),
    )
    settings = SimpleNamespace(
        train_data=str(folder / f"{{0..{SHARDS - 1}}}.tar"),
        train_num_samples=images,
        train_data_upsampling_factors=None,
        batch_size=batch_size,
        workers=0,
        world_size=1,
        seed=0,
    )
    tokenize = _tokenizer()
    # Since webdataset 0.3 the end of a shard is an empty member, at which open_clip 3.3.0 stops
    # with a KeyError.
    expand = functools.partial(data.tar_file_expander, eof_value=None)

    def once() -> None:
        with mock.patch.object(data, "tar_file_expander", expand):
            pipeline = data.get_wds_dataset(settings, transform, is_train=True, tokenizer=tokenize)
            _consume(pipeline.dataloader, images, batch_size)

    return once


def _tokenizer() -> Callable[[list[str]], "torch.Tensor"]:
    import kbench.towers.compat  # isort: skip  # noqa: F401
    from open_clip.tokenizer import SimpleTokenizer

    # Not kbench's, which remembers captions: a pass over a corpus meets each of them once.
    return SimpleTokenizer()


def _consume(loader: object, images: int, batch_size: int) -> None:
    shapes = [
        tuple(batch.shape) for batch, _ in itertools.islice(iter(loader), images // batch_size)
    ]
    if shapes != [(batch_size, 3, INPUT_SIZE, INPUT_SIZE)] * (images // batch_size):
        raise RuntimeError(f"a pass gave batches of {set(shapes)}, {len(shapes)} of them")
