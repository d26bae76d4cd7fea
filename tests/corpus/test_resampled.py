"""A bootstrap sample of a corpus: the same pairs for a seed, as often, whatever their order."""

import io
import itertools
import tarfile
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from kbench.corpus import stream
from kbench.corpus.crop import Cropper
from kbench.corpus.kinds.labelled import LabelledCorpus
from kbench.corpus.manifest import verify
from kbench.corpus.usable import ResampledShard
from kbench.locations import Locations

SHARDS, IMAGES = 3, 60
TOY = LabelledCorpus(
    kind="labelled",
    name="toy",
    folder="toy",
    templates=["{c}"],
    words=[["even"], ["odd"]],
)


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    """A corpus of shards of images whose red channel numbers them."""
    folder = tmp_path_factory.mktemp("resampled")
    for shard in range(SHARDS):
        path = folder / "toy" / "train" / f"{shard}.tar"
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w") as archive:
            for number in range(shard * IMAGES, (shard + 1) * IMAGES):
                picture = io.BytesIO()
                Image.new("RGB", (8, 8), (number, 0, 0)).save(picture, "png")
                add(archive, f"{number:03d}.png", picture.getvalue())
                add(archive, f"{number:03d}.cls", str(number % 2).encode())
    return Locations(data=folder)


def add(archive, name, data):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def batches(where, resampled, seed=0, size=1, skip=0):
    manifest = verify(TOY, where)
    share = stream.Share(size, seed=seed, skip=skip, resampled=resampled)
    tokenize = lambda captions: np.zeros((len(captions), 4), dtype=np.int64)  # noqa: E731
    return stream.PairStream(TOY, where, manifest, tokenize, Cropper(8, None), share)


def numbers(stream_of_batches, count):
    """Return the numbers of the images of the first batches."""
    return [images[:, 0, 0, 0].tolist() for images, _ in itertools.islice(stream_of_batches, count)]


def an_epoch(where, resampled, seed):
    made = batches(where, resampled, seed)
    pairs = sum(shard.pairs for shard in made.shards)
    return Counter(itertools.chain(*numbers(made, pairs)))


def test_an_epoch_has_every_pair_as_often_as_the_sample_says(where):
    made = batches(where, 5)
    times = np.concatenate([shard.times for shard in made.shards])
    expected = Counter({number: int(n) for number, n in enumerate(times) if n})
    assert an_epoch(where, 5, seed=0) == an_epoch(where, 5, seed=1) == expected
    assert max(times) > 1 and min(times) == 0


def test_another_seed_is_another_sample_and_none_is_the_whole_corpus(where):
    assert an_epoch(where, 5, seed=0) != an_epoch(where, 6, seed=0)
    assert an_epoch(where, None, seed=0) == Counter(range(SHARDS * IMAGES))


@pytest.mark.parametrize("skip", [1, 7, 50])
def test_a_resumed_stream_goes_on_where_it_was(where, skip):
    whole = numbers(batches(where, 5, size=4), skip + 10)
    assert numbers(batches(where, 5, size=4, skip=skip), 10) == whole[skip:]


def test_pairs_are_drawn_each_for_itself_once_on_average():
    shards = [
        ResampledShard(None, SimpleNamespace(name=f"{i}"), SimpleNamespace(pairs=20_000), 1)
        for i in range(2)
    ]
    first, second = (shard.times for shard in shards)
    assert abs(first.mean() - 1) < 0.03 and abs((first == 0).mean() - np.exp(-1)) < 0.015
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    assert shards[0].pairs == first.sum()
