"""The batches of the experiments whose results are committed are, bit for bit, those they were
trained on.
"""

import hashlib
import itertools

import pytest
import yaml
from corpus_files import pictures_and_labels
from tiny import ROOT

from kbench.corpus import stream
from kbench.corpus.augmentation import Crop
from kbench.corpus.crop import Cropper
from kbench.corpus.kinds.labelled import LabelledCorpus
from kbench.corpus.kinds.world import WorldCorpus
from kbench.corpus.manifest import verify
from kbench.locations import Locations
from kbench.towers import config, tokenizer

BATCHES = 40
"""Of 32 pairs each: two and a half epochs."""


def digest(corpus, where, towers, crop, workers):
    settings = config.load(towers)
    batches = stream.PairStream(
        corpus,
        where,
        verify(corpus, where),
        tokenizer.create(settings),
        Cropper(32, crop),
        stream.Share(32, seed=5),
    )
    found = hashlib.sha256()
    for images, tokens in itertools.islice(iter(stream.load(batches, workers)), BATCHES):
        assert images.is_contiguous() and images.shape == (32, 3, 32, 32)
        found.update(images.numpy().tobytes() + tokens.numpy().tobytes())
    return found.hexdigest()[:16]


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_of_the_embedded_world(tiny_world, workers):
    corpus = WorldCorpus(kind="world", seed=3, pairs=512, evaluation_images=64)
    assert digest(corpus, Locations(world=tiny_world), "demo", None, workers) == "2ea2a4db143e4bbd"


def test_batches_of_labelled_images_with_crop_and_flip(tmp_path):
    settings = yaml.safe_load((ROOT / "workflow" / "experiments" / "cifar10.yaml").read_text())
    corpus = LabelledCorpus(**settings["corpus"] | {"held_out_shards": 0})
    pictures_and_labels(tmp_path / "cifar10" / "train", shards=2, images=256, side=32)
    assert (
        digest(corpus, Locations(data=tmp_path), "cifar", Crop(**settings["training"]["crop"]), 1)
        == "1e68f4596488a0bb"
    )
