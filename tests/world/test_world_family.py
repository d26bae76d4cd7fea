"""Worlds of fewer shapes and colours, and of captions that name more or less: against the rules,
written down once more, and through everything that a world is made of and scored by.
"""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from command import here as kbench
from hypothesis import given, settings
from hypothesis import strategies as st

from kbench.corpus.kinds.world import WorldCorpus
from kbench.datasets import dataset as known_datasets
from kbench.datasets.reader import Split, _pair
from kbench.errors import UserError
from kbench.experiment import load
from kbench.tasks.pmi_gap import PmiGap
from kbench.world import Family, World, floors
from kbench.world.captions import NAMED
from kbench.world.make import make
from kbench.world.manifest import WorldSettings, read_manifest
from kbench.world.stored import world_of
from kbench.world_family import STEEPEST, only

SHAPES = {"circle": 25, "ring": 10, "square": 22, "triangle": 18, "star": 14, "cross": 11}
COLOURS = ["red", "orange", "yellow", "green", "blue", "purple", "white"]
OTHER = Family(shapes=3, colours=4, specificity=0.5)

families = st.builds(
    Family,
    shapes=st.integers(2, 6),
    colours=st.integers(2, 7),
    specificity=st.floats(-STEEPEST, STEEPEST),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("worlds") / "other"
    assert make(path, WorldSettings(pairs=512, eval_images=64, **OTHER._asdict()))
    return path


@given(families)
@settings(max_examples=10, deadline=None)
def test_a_member_is_a_joint_distribution(family):
    world = World(family)
    shapes = family.shapes * family.colours * 2 * 4
    assert len(world.scenes) == shapes + 10 and len(set(world.captions)) == len(world.captions)
    assert world.prior.sum() == pytest.approx(1, abs=1e-12)
    assert world.prior[:shapes].sum() == pytest.approx(0.6, abs=1e-12)
    np.testing.assert_allclose(world.p.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(world.prior @ world.p, world.prior @ world.q, atol=1e-12)
    assert 0 < world.mutual_information < -(world.prior * np.log(world.prior)).sum()
    assert world.pmi.min() >= math.log(0.03) - 1e-12


@given(families)
@settings(max_examples=10, deadline=None)
def test_the_prior_follows_the_rules_with_what_there_is(family):
    world = World(family)
    total = sum(list(SHAPES.values())[: family.shapes])
    colours = sum(1 / (2 + k) for k in range(family.colours))
    for scene, share in list(zip(world.scenes, world.prior, strict=True))[:: family.shapes * 4 + 1]:
        if scene.is_digit:
            continue
        g, c = list(SHAPES).index(scene.glyph), COLOURS.index(scene.colour)
        b = ["black", "gray", "pink", "cyan"].index(scene.background)
        small = 0.60 if g % 2 else 0.45
        expected = 0.6 * SHAPES[scene.glyph] / total
        expected *= 1 / (2 + (c - g) % family.colours) / colours
        expected *= small if scene.size == "small" else 1 - small
        expected *= 1 / (1 + (b - c) % 4) / sum(1 / (1 + k) for k in range(4))
        assert share == pytest.approx(expected, rel=1e-12)


@given(families)
@settings(max_examples=10, deadline=None)
def test_each_attribute_makes_a_caption_more_frequent_by_the_same_factor(family):
    shares = World(family).named
    assert sum(shares.values()) == pytest.approx(1) and list(shares) == list(NAMED)
    (first, share), *others = shares.items()
    for words, other in others:
        factor = math.exp(family.specificity * (len(words) - len(first)))
        assert other / share == pytest.approx(NAMED[words] / NAMED[first] * factor, rel=1e-9)


def test_more_specific_captions_say_more():
    at = [World(Family(specificity=s)).mutual_information for s in (-2, -0.5, 0, 0.5, 2)]
    assert at == sorted(at) and at[2] == World().mutual_information
    four = [World(Family(specificity=s)).named[next(iter(NAMED))] for s in (STEEPEST, -STEEPEST)]
    assert four == [pytest.approx(0.794, abs=1e-3), pytest.approx(0.0011, abs=1e-4)]


def test_what_is_written_is_of_the_world_that_was_asked_for(folder, read_shards):
    world = World(OTHER)
    assert read_manifest(folder).settings.family == OTHER
    for sample in read_shards(folder / "corpus")[:100]:
        for line in sample["txt"].decode().splitlines():
            world.caption_index(line)
    pairs = read_shards(folder / "benchmark/world-pairs/test")
    for sample in pairs:
        said = json.loads(sample["json"])
        assert Family(*said["world"]) == OTHER
        assert world.caption_index(sample["txt"].decode()) == said["caption"]
    for sample in read_shards(folder / "benchmark/world-negatives/test"):
        for line in sample["txt"].decode().splitlines():
            world.caption_index(line)
    names = (folder / "benchmark/world-shape-colour/classnames.txt").read_text().splitlines()
    assert len(names) == 12 and "a green triangle" not in names and "a green square" in names
    labels = {int(s["cls"]) for s in read_shards(folder / "benchmark/world-shape-colour/test")}
    assert labels == set(range(12))
    named = (folder / "benchmark/world-attributes/classnames.txt").read_text().splitlines()
    [sample, *_] = read_shards(folder / "benchmark/world-attributes/test")
    assert len(named) == 3 + 4 + 2 + 4 == len(sample["npy"][-4 * 13 :]) // 4


def test_sets_whose_classes_another_world_has_not_are_refused(folder):
    """Every set of the world, by its declared number of classes and the names that are written."""
    generated = [name for name in known_datasets.names() if location(name) == "world"]
    missing = {
        name
        for name in generated
        if (names := folder / "benchmark" / name / "classnames.txt").exists()
        and len(names.read_text().splitlines()) != known_datasets.get(name).n_classes
    }
    other = WorldCorpus(kind="world", **OTHER._asdict())
    assert missing == {name for name in generated if other.lacks(name)} != set()
    assert not any(WorldCorpus(kind="world", specificity=1).lacks(name) for name in generated)
    text = "name: own\ndescription: d\ncorpus: {kind: world, shapes: 3}\ntowers: demo\nvariants: [cosine]\n"
    text += "seeds: [0]\nevaluation: {datasets: [world-shape]}\n"
    text += "training: {batch_size: 64, epochs: 1, warmup_epochs: 0, learning_rate: 1.0e-3}\n"
    (folder.parent / "own.yaml").write_text(text)
    done = kbench("check", folder.parent / "own.yaml")
    assert done.returncode == 2 and "world-shape cannot be had with corpus" in done.stderr


def location(name):
    return known_datasets.get(name).location


def test_pairs_say_which_world_they_are_of(folder, small_world):
    for path, family in ((folder, OTHER), (small_world, Family())):
        split = Split(known_datasets.get("world-pairs"), path / "benchmark/world-pairs", "test")
        for _ in split.samples():
            pass
        assert set(split.labels.worlds) == {family}


def test_the_plain_worlds_pairs_are_as_they_were(small_world, read_shards):
    [sample, *_] = read_shards(small_world / "benchmark/world-pairs/test")
    assert list(json.loads(sample["json"])) == ["scene", "caption"]


def stored(rows):
    arrays = {} if rows is None else {"test/worlds": np.array(rows, dtype=np.float64)}
    return SimpleNamespace(shapes=arrays, array=arrays.__getitem__)


@pytest.mark.parametrize(
    "world",
    [[7, 7, 0], [6, 1, 0], [6, 7, 2.1], [6, 7, float("nan")], [6, 7], [6, 7, 0, 0], 6, "plain"],
)
def test_pairs_of_no_world_are_refused(world):
    sample = {"json": json.dumps({"scene": 0, "caption": 0, "world": world}).encode()}
    with pytest.raises(UserError, match="a pair of"):
        _pair(sample)


def test_features_are_scored_against_their_own_world():
    assert world_of(stored(None)).family == Family()
    assert world_of(stored([list(OTHER)] * 3)).family == OTHER
    with pytest.raises(UserError, match="pairs of two worlds in one set"):
        world_of(stored([list(OTHER), list(Family())]))
    assert only([]) == Family()


def test_a_floor_is_drawn_for_its_own_world_alone():
    plain = PmiGap().floors({"kind": "world", "pairs": 20000})
    assert plain["any inner product"] == floors.by_dimension("wpse-linear", Family()) != {}
    assert plain == PmiGap().floors({}) == PmiGap().floors(Family()._asdict())
    assert PmiGap().floors({"shapes": 2})["any inner product"] == {}


def test_a_floor_is_sought_on_the_world_that_is_named(tmp_path):
    few = ["--steps", 5, "--starts", 1, "--batches", 4, "--output", tmp_path / "floors.csv"]
    done = kbench("floor", "--similarity", "cosine", "--dimension", 2, "--shapes", 2, *few)
    assert done.returncode == 0, done.stderr
    [floor] = floors.known(tmp_path / "floors.csv")
    assert floor.family == Family(shapes=2)
    refused = kbench("floor", "--similarity", "cosine", "--dimension", 2, "--shapes", 1)
    assert refused.returncode == 2 and "--shapes 1: input should be greater than" in refused.stderr


def test_a_run_is_named_by_its_world_unless_it_is_the_plain_one():
    plain, other = WorldCorpus(kind="world"), WorldCorpus(kind="world", **OTHER._asdict())
    assert not set(Family._fields) & plain.identity.keys()
    assert {key: other.identity[key] for key in Family._fields} == OTHER._asdict()
    [run, *_] = load.resolve(load.load("demo"))
    moved = run.corpus.model_copy(update=OTHER._asdict())
    assert run.model_copy(update={"corpus": moved}).run != run.run


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--shapes", "7", "--shapes 7: input should be less than or equal to 6"),
        ("--colours", "1", "--colours 1: input should be greater than or equal to 2"),
        ("--specificity", "2.5", "--specificity 2.5: input should be less than or equal to 2"),
        ("--specificity", "nan", "--specificity nan: input should be a finite number"),
    ],
)
def test_worlds_that_are_none_are_refused(tmp_path, option, value, said):
    done = kbench("world", "make", "--output", tmp_path / "world", option, value)
    assert done.returncode == 2 and said in done.stderr
    assert not (tmp_path / "world").exists()
