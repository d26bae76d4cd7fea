"""What is written: layout, labels, determinism, held-out digits, and what happens to a folder that
is there.
"""

import csv
import filecmp
import io
import json
import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from tiny import ROOT

from kbench import cli, files
from kbench.corpus.kinds.world import WorldCorpus
from kbench.errors import UserError
from kbench.experiment import load
from kbench.world import make as making
from kbench.world import streams
from kbench.world.captions import describe_scene
from kbench.world.digits import digit_images
from kbench.world.make import make
from kbench.world.manifest import MOST_CLASSES, WorldSettings, read_manifest
from kbench.world.render import PALETTE
from kbench.world.scenes import BACKGROUNDS, DIGITS

COMMITTED = "results/demo/summary/table.csv"

CLASSES = {
    "world-shape": 6,
    "world-colour": 7,
    "world-size": 2,
    "world-background": 4,
    "world-shape-colour": 42,
    "world-digits": 10,
}


def all_files(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def pixels(sample):
    return np.asarray(Image.open(io.BytesIO(sample["png"])))


def run(*arguments):
    """Return the exit status of `kbench world make`."""
    with pytest.raises(SystemExit) as stop:
        cli.main(["world", "make", *map(str, arguments)])
    return stop.value.code


def small(output, seed=0, pairs=512):
    return run("--output", output, "--seed", seed, "--pairs", pairs, "--eval-images", 64)


def test_the_same_seed_gives_the_same_bytes(small_world, tmp_path):
    assert small(tmp_path / "again") == 0
    names = all_files(small_world)
    assert names == all_files(tmp_path / "again")
    assert filecmp.cmpfiles(small_world, tmp_path / "again", names, shallow=False) == (
        names,
        [],
        [],
    )


def test_another_seed_gives_other_images_and_captions(small_world, tmp_path, read_shards):
    make(tmp_path / "other", WorldSettings(seed=1, pairs=512, eval_images=64))
    for folder in read_manifest(small_world).samples:
        ours, theirs = read_shards(small_world / folder), read_shards(tmp_path / "other" / folder)
        assert len(ours) == len(theirs)
        assert [sample["png"] for sample in ours] != [sample["png"] for sample in theirs]


def test_no_image_occurs_in_two_folders(small_world, read_shards):
    seen = Counter()
    for folder in read_manifest(small_world).samples:
        seen.update({sample["png"] for sample in read_shards(small_world / folder)})
    assert max(seen.values()) == 1


def test_the_manifest_describes_every_file(small_world, read_shards):
    manifest = read_manifest(small_world)
    assert sorted([*manifest.files, "world.json"]) == all_files(small_world)
    for name, file in manifest.files.items():
        assert file.bytes == (small_world / name).stat().st_size
        assert file.sha256 == files.sha256(small_world / name)
    for folder, number in manifest.samples.items():
        assert len(read_shards(small_world / folder)) == number


def test_the_corpus_is_drawn_from_the_joint(small_world, read_shards, world):
    drawn = read_shards(small_world / "corpus")
    assert len(drawn) == 512
    log_likelihood = []
    for sample in drawn:
        scene = json.loads(sample["json"])["scene"]
        captions = sample["txt"].decode().splitlines()
        assert len(captions) == 10
        log_likelihood += [world.pmi[scene, world.caption_index(caption)] for caption in captions]
    # The mean PMI of true pairs is the mutual information.
    assert np.mean(log_likelihood) == pytest.approx(world.mutual_information, abs=0.15)


def test_captions_of_an_image_are_drawn_independently(small_world, read_shards, world):
    """Any two lines of one image agree as often as two independent draws from p(y | a) would."""
    agree, expected = [], []
    for sample in read_shards(small_world / "corpus"):
        captions = [world.caption_index(text) for text in sample["txt"].decode().splitlines()]
        agree.append(np.mean([captions[i] == captions[j] for i in range(10) for j in range(i)]))
        expected.append((world.p[json.loads(sample["json"])["scene"]] ** 2).sum())
    standard_error = np.std(np.subtract(agree, expected)) / len(agree) ** 0.5
    assert abs(np.mean(agree) - np.mean(expected)) < 4 * standard_error


def test_shards_hold_2500_pairs(tmp_path, read_shards):
    make(tmp_path / "w", WorldSettings(pairs=2501, eval_images=MOST_CLASSES))
    corpus = tmp_path / "w" / "corpus"
    assert [path.name for path in sorted(corpus.iterdir())] == ["00000.tar", "00001.tar"]
    assert len(read_shards(corpus)) == 2501


def test_images_of_the_corpus_are_those_of_their_scenes(small_world, read_shards, world):
    for sample in read_shards(small_world / "corpus")[:200]:
        scene = world.scenes[json.loads(sample["json"])["scene"]]
        assert np.abs(pixels(sample)[0, 0] - PALETTE[scene.background]).max() <= 10


def test_fresh_pairs_name_their_scene_and_caption(small_world, read_shards, world):
    pairs = read_shards(small_world / "benchmark/world-pairs/test")
    assert len(pairs) == 512
    for sample in pairs:
        indices = json.loads(sample["json"])
        assert world.caption_index(sample["txt"].decode()) == indices["caption"]
    scenes, captions = np.array([list(json.loads(sample["json"]).values()) for sample in pairs]).T
    assert world.pmi[scenes, captions].mean() == pytest.approx(world.mutual_information, abs=0.4)


def test_as_many_fresh_pairs_as_asked_for_and_nothing_else_changes(
    small_world, read_shards, tmp_path
):
    more = read_manifest(small_world).settings.model_copy(update={"fresh_pairs": 700})
    assert make(tmp_path / "more", more)
    assert len(read_shards(tmp_path / "more" / "benchmark/world-pairs/test")) == 700
    for part in ("corpus/00000.tar", "benchmark/world-retrieval/test/0.tar"):
        assert (tmp_path / "more" / part).read_bytes() == (small_world / part).read_bytes()


def test_worlds_and_runs_without_a_number_of_fresh_pairs_keep_their_names():
    plain = WorldCorpus(kind="world")
    more = WorldCorpus(kind="world", fresh_pairs=16384)
    assert "fresh_pairs" not in plain.identity and more.identity["fresh_pairs"] == 16384
    [run, *_] = load.resolve(load.load("demo"))
    names = {row["run"] for row in csv.DictReader((ROOT / COMMITTED).open())}
    assert run.corpus.fresh_pairs == 0 and run.run in names
    changed = run.corpus.model_copy(update={"fresh_pairs": 16384})
    assert run.model_copy(update={"corpus": changed}).run not in names


def test_default_sizes():
    settings = WorldSettings()
    assert (
        settings.pairs,
        settings.eval_images,
        settings.retrieval_images,
        settings.number_of_fresh_pairs,
    ) == (
        20_000,
        1000,
        500,
        4096,
    )
    assert (settings.digit_images(1300), settings.digit_images(497)) == (1300, 497)


@pytest.mark.parametrize("name", CLASSES)
def test_clip_benchmark_reads_the_layout(small_world, read_shards, name):
    import kbench.towers.compat  # isort: skip  # noqa: F401
    from clip_benchmark.datasets.builder import build_dataset

    root = small_world / "benchmark" / name
    dataset = build_dataset(f"wds/{name}", root=str(root), split="test", transform=np.asarray)
    assert len(dataset.classes) == CLASSES[name]
    assert dataset.templates == ["{c}", "a photo of {c}", "a picture of {c}"]
    read = list(dataset)
    assert [label for _, label in read] == [
        int(sample["cls"]) for sample in read_shards(root / "test")
    ]
    assert all(image.shape == (32, 32, 3) for image, _ in read)


def test_clip_benchmark_reads_the_retrieval_set(small_world):
    import kbench.towers.compat  # isort: skip  # noqa: F401
    from clip_benchmark.datasets.builder import build_dataset

    root = small_world / "benchmark" / "world-retrieval"
    dataset = build_dataset(
        "wds/world-retrieval",
        root=str(root),
        split="test",
        transform=np.asarray,
        task="zeroshot_retrieval",
    )
    captions = [lines for _, lines in dataset]
    assert len(captions) == 32
    assert all(len(lines) == 5 for lines in captions)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_class_is_there_even_in_the_smallest_world(tmp_path, read_shards, name, split, world):
    number = 2 * MOST_CLASSES if name == "world-digits" else MOST_CLASSES
    rng = np.random.default_rng(0)
    if name == "world-digits":
        drawn = streams.digits(world, rng, number, digit_images()[split == "test"])
    else:
        drawn = streams.shapes(world, rng, number, name)
    labels = Counter(int(sample["cls"]) for sample in drawn)
    assert sorted(labels) == list(range(CLASSES[name]))
    assert labels.total() == number


@pytest.mark.parametrize("name", CLASSES)
def test_prompts_are_captions_and_pmi_classifies_every_scene(small_world, world, name):
    """The class whose prompt has the highest PMI is the scene's own, so labels, prompts and scenes
    fit together.
    """
    names = (small_world / "benchmark" / name / "classnames.txt").read_text().splitlines()
    named = streams.SHAPE_SETS[name][0] if name != "world-digits" else ("glyph",)
    prompts = [world.caption_index(prompt) for prompt in names]
    for index, scene in enumerate(world.scenes):
        if scene.is_digit == (name == "world-digits"):
            assert names[np.argmax(world.pmi[index, prompts])] == describe_scene(scene, named)


def test_labels_fit_the_images(small_world, read_shards):
    """Background and size can be read off an image at once."""
    for sample in read_shards(small_world / "benchmark/world-background/test"):
        assert np.abs(pixels(sample)[0, 0] - PALETTE[BACKGROUNDS[int(sample["cls"])]]).max() <= 10
    for sample in read_shards(small_world / "benchmark/world-size/test"):
        image = pixels(sample).astype(int)
        glyph = np.abs(image - image[0, 0]).max(axis=2) > 25
        longer = max(np.ptp(np.nonzero(glyph.any(axis=axis))[0]) + 1 for axis in (0, 1))
        assert int(sample["cls"]) == int(longer > 18.5)


def test_retrieval_images_show_different_scenes(small_world, read_shards, world):
    drawn = read_shards(small_world / "benchmark/world-retrieval/test")
    scenes = [json.loads(sample["json"])["scene"] for sample in drawn]
    assert len(set(scenes)) == len(scenes) == 32
    for sample in drawn:
        indices = [world.caption_index(text) for text in sample["txt"].decode().splitlines()]
        assert (world.specificity[indices] == 4).all()


def test_what_pmi_itself_reaches_in_retrieval(world):
    """The figures that the docstring of `retrieval` quotes: no learned score can be expected above
    them.
    """
    training, _ = digit_images()
    drawn = list(streams.retrieval(world, np.random.default_rng(0), 500, training))
    scenes = np.array([json.loads(sample["json"])["scene"] for sample in drawn])
    captions = np.array(
        [[world.caption_index(t) for t in s["txt"].decode().splitlines()] for s in drawn]
    )
    # Ties, as between two images of one scene, are broken at random.
    scores = world.pmi[np.ix_(scenes, captions.ravel())] + 1e-9 * np.random.default_rng(1).random(
        (500, 2500)
    )
    own = scores.reshape(500, 500, 5)[np.arange(500), np.arange(500)]
    image_rank = (scores.reshape(500, 500, 5) > own[None]).sum(axis=0)
    text_rank = (scores > own.max(axis=1, keepdims=True)).sum(axis=1)
    recall = [[np.mean(rank < k) for k in (1, 5, 10)] for rank in (image_rank, text_rank)]
    np.testing.assert_allclose(recall, [[0.45, 0.85, 0.93], [0.60, 0.99, 1.00]], atol=0.06)


def test_held_out_digits_are_seen_in_one_place_only(tmp_path, monkeypatch, read_shards, world):
    """With blank training digits and solid held-out ones, every digit image tells which it
    shows.
    """
    blank = {digit: np.zeros((10, 8, 8), np.uint8) for digit in DIGITS}
    solid = {digit: np.full((10, 8, 8), 255, np.uint8) for digit in DIGITS}
    monkeypatch.setattr(making, "digit_images", lambda: (blank, solid))
    folder = tmp_path / "w"
    make(folder, WorldSettings(pairs=300, eval_images=64))
    for part in ("corpus", "benchmark/world-retrieval/test", "benchmark/world-pairs/test"):
        drawn = [
            s
            for s in read_shards(folder / part)
            if world.scenes[json.loads(s["json"])["scene"]].is_digit
        ]
        assert drawn
        assert max(pixels(sample).max() for sample in drawn) < 30
    train, test = (
        read_shards(folder / "benchmark/world-digits" / split) for split in ("train", "test")
    )
    assert len(train) == len(test) == 100
    assert max(pixels(sample).max() for sample in train) < 30
    assert min(np.mean(pixels(sample) > 200) for sample in test) > 0.35


def test_each_digit_image_is_shown_once(world, monkeypatch):
    """Grey squares in place of the digits, each of its own shade: what is drawn is what `render`
    was handed.
    """
    shades = {
        name: np.stack([np.full((8, 8), 40 + i, np.uint8) for i in range(50)]) for name in DIGITS
    }
    shown = []

    def remember(scene, rng, digits):
        (image,) = digits[scene.glyph]
        shown.append((scene.glyph, int(image[0, 0])))
        return Image.new("RGB", (32, 32))

    monkeypatch.setattr(streams, "render", remember)
    drawn = list(streams.digits(world, np.random.default_rng(0), 500, shades))
    assert sorted(shown) == sorted((name, 40 + i) for name in DIGITS for i in range(50))
    assert [int(sample["cls"]) for sample in drawn] == [DIGITS.index(name) for name, _ in shown]
    with pytest.raises(ValueError):
        list(streams.digits(world, np.random.default_rng(0), 501, shades))


def test_quotas():
    assert streams.quotas([1, 1, 1], 10) == [4, 3, 3]
    assert streams.quotas([0.25, 0.10, 0.65], 20) == [5, 2, 13]
    assert streams.quotas([130, 129, 238], 497) == [130, 129, 238]


def test_a_finished_world_is_left_alone(small_world, capsys):
    before = {name: (small_world / name).stat().st_mtime_ns for name in all_files(small_world)}
    assert small(small_world) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert before == {
        name: (small_world / name).stat().st_mtime_ns for name in all_files(small_world)
    }


def test_a_damaged_world_is_written_again(small_world, tmp_path):
    folder = tmp_path / "w"
    assert small(folder) == 0
    shard = folder / "corpus" / "00000.tar"
    shard.write_bytes(shard.read_bytes()[:1000])
    (folder / "benchmark/world-size/classnames.txt").unlink()
    assert small(folder) == 0
    names = all_files(small_world)
    assert filecmp.cmpfiles(small_world, folder, names, shallow=False) == (names, [], [])
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_a_world_of_a_release_that_had_fewer_sets_is_written_again(small_world, tmp_path):
    folder = tmp_path / "w"
    shutil.copytree(small_world, folder)
    shutil.rmtree(folder / "benchmark/world-negatives")
    older = json.loads((folder / "world.json").read_text())
    for key in ("samples", "files"):
        kept = {name: v for name, v in older[key].items() if "world-negatives" not in name}
        older[key] = kept
    (folder / "world.json").write_text(json.dumps(older))
    assert small(folder) == 0
    names = all_files(small_world)
    assert filecmp.cmpfiles(small_world, folder, names, shallow=False) == (names, [], [])


def test_a_world_without_its_manifest_is_written_again(tmp_path):
    folder = tmp_path / "w"
    assert small(folder) == 0
    (folder / "world.json").unlink()
    assert small(folder) == 0
    assert read_manifest(folder).settings.pairs == 512


def test_an_empty_folder_is_filled(tmp_path):
    assert small(tmp_path / "w", pairs=10) == 0
    (tmp_path / "empty").mkdir()
    assert small(tmp_path / "empty", pairs=10) == 0


def test_other_settings_are_refused(small_world, capsys):
    assert small(small_world, seed=5, pairs=100) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "seed 0 instead of 5, pairs 512 instead of 100" in message
    assert read_manifest(small_world).settings.seed == 0


def test_another_version_is_refused(tmp_path, capsys):
    assert small(tmp_path / "w", pairs=10) == 0
    manifest = json.loads((tmp_path / "w/world.json").read_text())
    files.write_json(tmp_path / "w/world.json", manifest | {"world_version": 0})
    assert small(tmp_path / "w", pairs=10) == 2
    assert "version 0 instead of 1" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "[]", '{"settings": 3}'])
def test_an_unreadable_manifest_is_refused(tmp_path, content, capsys):
    (tmp_path / "world.json").write_text(content)
    assert small(tmp_path) == 2
    assert "world.json" in capsys.readouterr().err


def test_a_folder_of_other_things_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("precious")
    assert small(tmp_path) == 2
    assert "thesis.tex" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_a_path_that_cannot_be_a_folder_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert small(tmp_path / "file") == 2
    assert small(tmp_path / "file" / "below") == 2
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [("--pairs", "0"), ("--eval-images", "41"), ("--seed", "-1"), ("--pairs", "many")],
)
def test_values_out_of_range_are_refused(tmp_path, option, value, capsys):
    assert run("--output", tmp_path / "w", option, value) == 2
    message = capsys.readouterr().err
    assert option in message
    assert value in message
    assert not (tmp_path / "w").exists()


def test_an_interruption_leaves_nothing_behind(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(making, "_write_manifest", stop)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "w", WorldSettings(pairs=10, eval_images=64))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_the_users_error(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(making, "write_shards", full)
    with pytest.raises(UserError, match="No space left on device"):
        make(tmp_path / "w", WorldSettings(pairs=10, eval_images=64))
    assert list(tmp_path.iterdir()) == []
