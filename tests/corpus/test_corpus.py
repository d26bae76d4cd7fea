"""Corpora: what is read, in which order, and what is refused."""

import io
import itertools
import subprocess
import sys
import tarfile
from collections import Counter

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, RandomResizedCrop, Resize

from kbench.corpus import crop, stream
from kbench.corpus.augmentation import Crop
from kbench.corpus.kinds.labelled import LabelledCorpus
from kbench.corpus.kinds.world import WorldCorpus
from kbench.corpus.manifest import verify
from kbench.corpus.picture import Pixels, decode_image
from kbench.errors import UserError
from kbench.locations import Locations

WORLD = WorldCorpus(kind="world", pairs=512, evaluation_images=64)


def write_shard(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in samples:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def png(colour, size=(8, 8)):
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "png")
    return stream.getvalue()


@pytest.fixture
def shards(tmp_path):
    """A corpus of three shards of 5 labelled images, whose red channel numbers them."""
    for shard in range(3):
        samples = []
        for image in range(5):
            number = shard * 5 + image
            samples += [
                (f"{number:03d}.png", png((number, 0, 0))),
                (f"{number:03d}.cls", str(number % 2).encode()),
            ]
        write_shard(tmp_path / "toy" / "train" / f"{shard}.tar", samples)
    return tmp_path


TOY = LabelledCorpus(
    kind="labelled",
    name="toy",
    folder="toy",
    templates=["{c}", "a {c}"],
    words=[["cat"], ["dog", "hound"]],
)


def make_stream(shards, batch_size=4, seed=0, **kwargs):
    where = Locations(data=shards)
    return stream.PairStream(
        TOY,
        where,
        verify(TOY, where),
        lambda captions: np.array([[len(caption)] for caption in captions]),
        crop.Cropper(8, None),
        stream.Share(batch_size, seed, **kwargs),
    )


def numbers(batches, count):
    return [batch[0][:, 0, 0, 0].tolist() for batch in itertools.islice(iter(batches), count)]


def test_each_epoch_shows_every_image_once(shards):
    seen = list(itertools.chain.from_iterable(numbers(make_stream(shards, batch_size=5), 9)))
    for epoch in range(3):
        assert sorted(seen[15 * epoch : 15 * (epoch + 1)]) == list(range(15))
    assert seen[:15] != seen[15:30]


def test_order_depends_on_the_seed_alone(shards):
    assert numbers(make_stream(shards), 8) == numbers(make_stream(shards), 8)
    assert numbers(make_stream(shards), 8) != numbers(make_stream(shards, seed=1), 8)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_entering_the_stream_late_gives_the_same_batches(shards, workers):
    def batches(skip, count):
        loader = stream.load(make_stream(shards, skip=skip), workers)
        return [(images, tokens) for images, tokens in itertools.islice(iter(loader), count)]

    whole = batches(0, 9)
    for skip in (1, 4, 7):
        for (images, tokens), (same_images, same_tokens) in zip(
            batches(skip, 9 - skip), whole[skip:], strict=True
        ):
            assert torch.equal(images, same_images) and torch.equal(tokens, same_tokens)


def test_ranks_share_an_epoch_without_overlap(shards):
    seen = [
        numbers(make_stream(shards, batch_size=5, rank=rank, processes=3), 1)[0]
        for rank in range(3)
    ]
    assert sorted(itertools.chain.from_iterable(seen)) == list(range(15))


def test_more_loaders_than_shards_are_refused(shards):
    with pytest.raises(UserError, match="3 shards, too few for 4"):
        next(iter(make_stream(shards, rank=0, processes=4)))


def test_captions_are_drawn_anew_at_every_use(shards):
    captions = Counter()
    batches = make_stream(shards, batch_size=15)
    batches.tokenize = lambda texts: (
        captions.update(texts) or np.zeros((len(texts), 1), dtype=np.int64)
    )
    list(itertools.islice(iter(batches), 40))
    assert set(captions) == {"cat", "a cat", "dog", "a dog", "hound", "a hound"}
    assert min(captions.values()) > 40


def test_a_corpus_larger_than_the_cache_is_streamed_alike(shards, monkeypatch):
    kept = numbers(make_stream(shards), 12)
    monkeypatch.setattr(stream, "CACHE_BYTES", 5 * 8 * 8 * 3)
    assert numbers(make_stream(shards), 12) == kept


def test_world_captions_are_several_a_scene(tiny_world):
    where = Locations(world=tiny_world)
    assert verify(WORLD, where).pairs == 512
    _, sample = next(WORLD.shards(where)[0].read())
    assert len(WORLD.captions(sample)) == 10


class TestRefusals:
    def test_missing_folder(self, tmp_path):
        with pytest.raises(UserError, match="does not exist"):
            verify(TOY, Locations(data=tmp_path / "nowhere"))
        with pytest.raises(UserError, match="KBENCH_DATA"):
            verify(TOY, Locations())
        (tmp_path / "toy" / "train").mkdir(parents=True)
        with pytest.raises(UserError, match=r"no file matches \*.tar"):
            verify(TOY, Locations(data=tmp_path))

    @pytest.mark.parametrize("keep", [100, 700, 5000])
    def test_truncated_shard(self, shards, keep):
        path = shards / "toy" / "train" / "1.tar"
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(UserError, match=r"1\.tar"):
            verify(TOY, Locations(data=shards))

    @pytest.mark.parametrize(
        ("name", "data", "reason"),
        [
            ("x.png", b"not an image", "cannot be decoded"),
            ("x.png", b"", "cannot be decoded"),
            ("x.cls", b"7", "not a class index from 0 to 1"),
            ("x.cls", b"cat", "not a class index"),
        ],
    )
    def test_bad_sample_is_named(self, shards, name, data, reason):
        members = {"x.png": png((1, 1, 1)), "x.cls": b"0"} | {name: data}
        write_shard(shards / "toy" / "train" / "3.tar", list(members.items()))
        with pytest.raises(UserError, match=f"3.tar, sample 'x'.*{reason}"):
            verify(TOY, Locations(data=shards))

    def test_sample_without_image(self, shards):
        write_shard(shards / "toy" / "train" / "3.tar", [("x.cls", b"0")])
        with pytest.raises(UserError, match="no image"):
            verify(TOY, Locations(data=shards))

    def test_shards_that_changed_since_verification(self, shards):
        where = Locations(data=shards)
        manifest = verify(TOY, where)
        write_shard(
            shards / "toy" / "train" / "3.tar", [("x.png", png((1, 1, 1))), ("x.cls", b"0")]
        )
        with pytest.raises(UserError, match="has changed since it was verified"):
            stream.PairStream(TOY, where, manifest, None, None, stream.Share(4, 0))

    def test_an_image_that_claims_to_be_huge(self, monkeypatch):
        monkeypatch.setattr("kbench.corpus.picture.MAX_PIXELS", 63)
        with pytest.raises(UserError, match="8 x 8 pixels, more than 63"):
            decode_image({"png": png((0, 0, 0))})


class TestCrop:
    def test_without_augmentation_it_is_resize_and_centre_crop(self):
        image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        ours = crop.Cropper(20, None)(Pixels(image), np.random.default_rng(0)).transpose(1, 2, 0)
        resize = torchvision.transforms.Compose(
            [Resize(20, InterpolationMode.BICUBIC), CenterCrop(20)]
        )
        theirs = np.asarray(resize(Image.fromarray(image)))
        assert np.abs(ours.astype(int) - theirs).mean() < 2

    def test_boxes_have_torchvisions_distribution(self):
        generator = np.random.default_rng(0)
        torch.manual_seed(0)
        ours = np.array([crop.random_box(90, 120, (0.5, 1.0), generator) for _ in range(3000)])
        image = Image.new("RGB", (120, 90))
        parameters = [
            RandomResizedCrop.get_params(image, (0.5, 1.0), (3 / 4, 4 / 3)) for _ in range(3000)
        ]
        theirs = np.array([(left, top, left + w, top + h) for top, left, h, w in parameters])
        for side in range(4):
            error = np.hypot(ours[:, side].std(), theirs[:, side].std()) / np.sqrt(3000)
            assert abs(ours[:, side].mean() - theirs[:, side].mean()) < 4 * error
            assert 0.9 < ours[:, side].std() / theirs[:, side].std() < 1.1

    def test_flip_mirrors_half_of_the_images(self):
        image = np.zeros((8, 8, 3), dtype=np.uint8)
        image[:, :4] = 255
        generator = np.random.default_rng(0)
        cropper = crop.Cropper(8, Crop(scale=(1.0, 1.0), flip=True))
        left = np.mean([cropper(Pixels(image), generator)[0, 4, 0] > 128 for _ in range(400)])
        assert 0.4 < left < 0.6


LEAVING = """
import os, socket, time
from multiprocessing import reduction
from kbench.corpus import stream
{prepare}
address, _ = reduction.DupFd(os.open(os.devnull, os.O_RDONLY))._id
with socket.socket(socket.AF_UNIX) as trainer:
    trainer.connect(address)
time.sleep(0.5)
"""


@pytest.mark.whole
@pytest.mark.parametrize("prepare", ["stream._leave_stopping_to_the_trainer(0)", ""])
def test_a_loader_says_nothing_of_a_trainer_that_left_while_taking_a_batch(prepare):
    code = LEAVING.format(prepare=prepare)
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert process.returncode == 0
    assert ("Traceback" in process.stderr) == (not prepare)
