"""A large dataset encoded by several jobs is, put together, what one job makes of it."""

import io
import itertools
import shutil
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbench import files
from kbench.datasets import dataset, reader
from kbench.datasets.dataset import Dataset, get
from kbench.datasets.part import Part, parts
from kbench.errors import UserError
from kbench.evaluate import store
from kbench.evaluate.features import Encoder
from kbench.evaluate.run import TrainedRun
from kbench.experiment.schema import Evaluation
from kbench.locations import Locations
from kbench.records.documents import EncodedPart, FeatureRecord

EVALUATION = Evaluation.model_validate(
    {
        "datasets": ["in-parts"],
        "batch_size": 6,
        "images_per_job": 30,
        "random_features": {"number": 64, "draws": 2},
        "linear_probe": {"strides": [48], "random_features": 32},
    }
)
ALL = [Part(number, 5) for number in range(1, 6)]
"""Of 2 x 64 images, of which a job should encode 30."""
ENTRY = (
    "{kind: classification, location: world, folder: in-parts, source: here, n_classes: 6,"
    " n_train: 64, n_test: 64, main_metric: acc1, stand_in: world-shape}"
)


@given(st.integers(0, 300), st.integers(1, 40), st.integers(1, 12))
def test_parts_are_whole_batches_that_follow_each_other(total, batch_size, number):
    ranges = [Part(one, number).images(total, batch_size) for one in range(1, number + 1)]
    assert list(itertools.chain(*ranges)) == list(range(total))
    assert all(images.start % batch_size == 0 for images in ranges if images)
    sizes = [len(images) for images in ranges if images]
    assert not sizes or max(sizes) - min(sizes) < 2 * batch_size


def test_only_large_datasets_with_labels_and_counts_are_split():
    assert list(parts(get("imagenet1k"), 250_000))[-1] == Part(6, 6)
    assert list(parts(get("cifar10"), 60_000)) == [Part(1, 1)]
    assert len(list(parts(get("cifar10"), 59_999))) == 2
    assert list(parts(get("mscoco_captions"), 10)) == [Part(1, 1)]
    assert list(parts(get("world-shape"), 10)) == [Part(1, 1)]


@pytest.fixture
def made(trained, tiny_world, tmp_path, monkeypatch):
    """A run without features, the dataset that is split, in shards of eleven images, and where it
    lies.
    """
    world, folder = tmp_path / "world", tmp_path / "work"
    shutil.copytree(tiny_world / "benchmark" / "world-shape", world / "in-parts")
    for split in ("train", "test"):
        _into_shards(world / "in-parts" / split, 11)
    shutil.copytree(trained[1].folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "features")
    (folder / dataset.ADDED).mkdir(parents=True)
    (folder / dataset.ADDED / "in-parts.yaml").write_text(ENTRY)
    files.write_json(
        folder / "evaluation.json",
        {"experiment": "x", "evaluation": EVALUATION.model_dump(mode="json")},
    )
    monkeypatch.chdir(folder)
    return TrainedRun(tmp_path / "run"), get("in-parts"), Locations(world=world)


def _into_shards(folder, size):
    with tarfile.open(folder / "0.tar") as archive:
        members = [(m.name, archive.extractfile(m).read()) for m in archive if m.isreg()]
    keys = list(dict.fromkeys(name.split(".")[0] for name, _ in members))
    groups = [keys[start : start + size] for start in range(0, len(keys), size)]
    for number, group in enumerate(groups):
        with tarfile.open(folder / f"{number}.tar", "w") as archive:
            for name, content in members:
                if name.split(".")[0] in group:
                    entry = tarfile.TarInfo(name)
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))
    (folder / "nshards.txt").write_text(str(len(groups)))


def arrays(run):
    features = store.Reader(run.features("in-parts"))
    return {name: np.array(features.array(name)) for name in features.shapes}


def in_one_job(run, entry: Dataset, where):
    """Return the arrays that one job makes."""
    one = EVALUATION.model_copy(update={"images_per_job": 1000})
    assert Encoder(run, one, "cpu").extract(entry, where)
    whole = arrays(run)
    shutil.rmtree(run.features("in-parts"))
    return whole


def counting(encoder, monkeypatch):
    """Return a list to which the size of every batch of images is added."""
    seen, encode = [], encoder.model.towers.encode_image
    monkeypatch.setattr(
        encoder.model.towers,
        "encode_image",
        lambda images: seen.append(len(images)) or encode(images),
    )
    return seen


def test_parts_put_together_are_one_job_to_the_last_bit(made, monkeypatch):
    run, entry, where = made
    whole, encoder = in_one_job(*made), Encoder(run, EVALUATION, "cpu")
    seen = counting(encoder, monkeypatch)
    assert list(parts(entry, EVALUATION.images_per_job)) == ALL
    for part in reversed(ALL):
        assert encoder.extract_part(entry, where, part)
        assert not encoder.extract_part(entry, where, part)
    assert sum(seen) == 128 and len(seen) == 22
    assert encoder.extract(entry, where) and sum(seen) == 128
    together = arrays(run)
    assert together.keys() == whole.keys()
    assert all(np.array_equal(together[name], whole[name]) for name in whole)
    assert not any(run.part("in-parts", part).exists() for part in ALL)
    # What is there as a whole is made in no part again.
    assert not encoder.extract_part(entry, where, ALL[0]) and sum(seen) == 128


def test_what_is_missing_is_encoded_by_whoever_puts_it_together(made, monkeypatch):
    run, entry, where = made
    whole, encoder = in_one_job(*made), Encoder(run, EVALUATION, "cpu")
    for part in ALL[1:]:
        encoder.extract_part(entry, where, part)
    seen = counting(encoder, monkeypatch)
    assert encoder.extract(entry, where)
    assert 0 < sum(seen) < 40
    assert all(np.array_equal(array, whole[name]) for name, array in arrays(run).items())


def test_a_part_reads_the_shards_that_hold_its_images(made, monkeypatch):
    run, entry, where = made
    encoder, read = Encoder(run, EVALUATION, "cpu"), []
    samples = reader.read_samples
    monkeypatch.setattr(reader, "read_samples", lambda shard: read.append(shard) or samples(shard))
    for part in ALL:
        encoder.extract_part(entry, where, part)
    test = [int(shard.stem) for shard in read if shard.parent.name == "test"]
    # Eleven batches of six in shards of eleven, two or three batches a part.
    assert test == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]


def test_a_shard_that_changed_makes_its_parts_again_and_no_other(made, monkeypatch):
    run, entry, where = made
    encoder = Encoder(run, EVALUATION, "cpu")
    for part in ALL:
        encoder.extract_part(entry, where, part)
    shard = where.world / "in-parts" / "test" / "5.tar"
    content = shard.read_bytes()
    label = content.index(b".cls") // 512 * 512 + 512
    shard.write_bytes(
        content[:label] + bytes([(content[label] - 47) % 6 + 48]) + content[label + 1 :]
    )
    seen = counting(encoder, monkeypatch)
    assert encoder.extract(entry, where)
    images = [ALL[-1].images(64, 6) for _ in range(2)]
    assert sum(seen) == sum(map(len, images))
    again = arrays(run)
    shutil.rmtree(run.features("in-parts"))
    assert (in_one_job(*made)["test/targets"] == again["test/targets"]).all()


def test_a_damaged_part_is_refused_and_named(made):
    run, entry, where = made
    encoder = Encoder(run, EVALUATION, "cpu")
    encoder.extract_part(entry, where, ALL[1])
    path = run.part("in-parts", ALL[1]) / "test" / "targets.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(UserError, match=r"targets.npy is corrupt: delete .*2-of-5"):
        encoder.extract(entry, where)
    assert not run.features("in-parts").exists()


@pytest.mark.parametrize("part", ["shards", "held_out"])
def test_what_the_corpus_holds_is_not_scored(made, part):
    run, entry, where = made
    test, train = (
        files.sha256(where.world / "in-parts" / split / "0.tar") for split in ("test", "train")
    )
    shard = {"name": "somewhere/a.tar", "pairs": 11, "sha256": train}
    corpus = {"corpus": "mine", "pairs": 11, "shards": [shard]}
    files.write_json(run.folder.parent / "corpus.json", corpus)
    # A probe may be fitted to what was trained on.
    assert Encoder(run, EVALUATION, "cpu").extract(entry, where)
    shutil.rmtree(run.folder / "features")
    corpus |= {part: [*corpus.get(part, []), shard | {"sha256": test}]}
    files.write_json(run.folder.parent / "corpus.json", corpus)
    message = r"test/0.tar has the same content as somewhere/a.tar of"
    with pytest.raises(UserError, match=message):
        Encoder(run, EVALUATION, "cpu").extract(entry, where)
    with pytest.raises(UserError, match=message):
        Encoder(run, EVALUATION, "cpu").extract_part(entry, where, ALL[0])


def test_the_command_leaves_a_record_of_each_part(made, kbench):
    run, _, where = made
    words = ["--run", run.folder, "--evaluation", "evaluation.json", "--world", where.world]

    def said(*more):
        done = kbench("features", *words, *more, cwd=".")
        assert done.returncode == 0, done.stderr
        return done.stdout

    for part in ALL:
        assert said("--dataset", "in-parts", "--part", part) == f"in-parts, part {part}: encoded\n"
        path = run.folder / "parts" / "in-parts" / f"{part}.json"
        record = files.read_json(path)
        EncodedPart.model_validate(record)
        FeatureRecord.model_validate(files.read_json(path.with_suffix("") / "features.json"))
        assert record["part"] == str(part) and record["dataset"] == "in-parts"
    assert said().startswith("in-parts: encoded")
    assert said("--dataset", "in-parts", "--part", ALL[0]) == "in-parts, part 1-of-5: kept\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--part", "1-of-5"], "--dataset and --part go together"),
        (["--dataset", "in-parts"], "--dataset and --part go together"),
        (["--dataset", "in-part", "--part", "1-of-5"], "did you mean 'in-parts'"),
        (["--dataset", "in-parts", "--part", "0-of-5"], "part '0-of-5'; legal: I-of-N"),
        (["--dataset", "in-parts", "--part", "one"], "part 'one'; legal: I-of-N"),
        (["--dataset", "in-parts", "--part", "1-of-4"], "no part 1-of-4; legal: 1-of-5 to 5-of-5"),
    ],
)
def test_mistakes_are_named(made, words, message, kbench, refused):
    run, _, where = made
    given_words = ["--run", run.folder, "--evaluation", "evaluation.json", "--world", where.world]
    refused(kbench("features", *given_words, *words, cwd="."), message)
