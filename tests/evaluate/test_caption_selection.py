"""The choice between an image's captions: from SugarCrepe's own form, through CLIP_benchmark's
exporter, to what `kbench evaluate` prints, against CLIP_benchmark on the same files.
"""

import json
import re
import tarfile
from typing import ClassVar

import numpy as np
import pytest
import tiny_models
import torch
from clip_benchmark.datasets.sugar_crepe import SugarCrepe
from clip_benchmark.metrics import image_caption_selection
from clip_benchmark.webdataset_builder import convert_retrieval_dataset
from clip_benchmark_peer import caption, evaluated, member, picture

from kbench import files, tasks
from kbench.datasets import dataset as known_datasets
from kbench.datasets import suites
from kbench.datasets.reader import Split
from kbench.datasets.transform import Transform
from kbench.errors import UserError
from kbench.locations import Locations
from kbench.world.captions import describe_scene
from kbench.world.model import World
from kbench.world.scenes import ATTRIBUTES

IMAGES = 150


@pytest.fixture(scope="module")
def sugar_crepe(tmp_path_factory):
    """A set in SugarCrepe's own form, of odd images and of captions of every length."""
    folder, generator = tmp_path_factory.mktemp("sugar"), np.random.default_rng(5)
    (folder / "val2017").mkdir()
    entries = {}
    for index in range(IMAGES):
        suffix, content = picture(generator, index)
        name = f"{index:012d}.{suffix}"
        (folder / "val2017" / name).write_bytes(content)
        texts = (caption(generator, index, number) for number in range(2))
        entries[str(3 * index)] = dict(
            zip(("caption", "negative_caption"), texts, strict=True), filename=name
        )
    (folder / "replace_att.json").write_text(json.dumps(entries))
    return folder


def native(folder, transform=None):
    return SugarCrepe(str(folder / "val2017"), str(folder / "replace_att.json"), transform)


@pytest.fixture(scope="module")
def exported(sugar_crepe):
    """The same in the layout that CLIP_benchmark's exporter writes."""
    target = sugar_crepe / "data" / "odd-choices"
    rgb = native(sugar_crepe, transform=lambda image: image.convert("RGB"))
    convert_retrieval_dataset(
        rgb, "test", str(target), image_format="png", max_count=64, verbose=False
    )
    return target


@pytest.fixture(scope="module", params=["vit", "siglip"])
def run(request, kbench, tmp_path_factory):
    """An imported model, taken into the folder of a run; its folder of open_clip's."""
    folder = tmp_path_factory.mktemp("selection")
    model = tiny_models.write(request.param, folder / "open_clip" / request.param)
    return folder, model, tiny_models.taken(kbench, model, folder)


@pytest.mark.whole
def test_accuracy_is_clip_benchmarks(kbench, run, sugar_crepe, exported):
    folder, model, trained = run
    peer = tiny_models.peer(model)
    loader = torch.utils.data.DataLoader(
        native(sugar_crepe, peer.transform),
        batch_size=40,
        num_workers=0,
        collate_fn=lambda batch: (torch.stack([b[0] for b in batch]), [b[1] for b in batch]),
    )
    theirs = image_caption_selection.evaluate(peer.model, loader, peer.tokenizer, "cpu", amp=False)
    printed = evaluated(kbench, trained, exported.parent, "odd-choices", folder)
    place = trained.folder / "evaluation" / "odd-choices"
    written = files.read_json(place / "image_caption_selection.json")
    ours = {metric["name"]: metric["value"] for metric in written["metrics"]}
    assert ours == pytest.approx({"text_acc": theirs["text_acc"]}, abs=1e-6)
    assert re.search(r"text_acc ([\d.]+)", printed)[1] == f"{theirs['text_acc']:.4f}"
    assert 0.2 < theirs["text_acc"] < 0.8
    kept = np.load(place / "image_caption_selection.npz")["preferred"]
    assert kept.shape == (1, IMAGES) and kept.mean() == pytest.approx(ours["text_acc"])


def test_captions_that_cannot_be_told_apart_do_not_count_as_right(trained):
    # Both captions of an image are the same: no similarity can prefer one.
    class Same:
        shapes: ClassVar = {"test/images/features": [3, 1, 4], "test/captions/features": [6, 1, 4]}

        def draws(self, name):
            return 1

        def representation(self, name, draw):
            rows = torch.eye(4)[:3]
            return {"features": rows if name.endswith("images") else rows.repeat_interleave(2, 0)}

    task = tasks.get("image_caption_selection")
    outcome = task.score(trained[0], Same(), None, device="cpu")
    assert outcome.values == {"text_acc": [0.0]} and outcome.settings["text_acc_tied"] == 1.0


@pytest.fixture(scope="module")
def split(tiny_world):
    """Captions and scenes of the embedded world's set."""
    dataset = known_datasets.get("world-negatives")
    split = Split(dataset, dataset.root(Locations(world=tiny_world)), "test")
    scenes = [json.loads(sample["json"])["scene"] for _, sample in split.samples()]
    return split.labels.captions, scenes


class TestTheWorldsNegatives:
    def test_one_attribute_is_wrong_and_pmi_is_always_right(self, split):
        captions, scenes = split
        world = World()
        for scene, right, wrong in zip(scenes, captions[::2], captions[1::2], strict=True):
            shown = {getattr(world.scenes[scene], attribute) for attribute in ATTRIBUTES}
            differing = set(right.split()) ^ set(wrong.split()) - {"a", "an"}
            assert len(differing - {"a", "an"}) == 2 and len(differing & shown) == 1
            one, other = (world.pmi[scene, world.caption_index(text)] for text in (right, wrong))
            assert one > other

    def test_the_first_caption_says_what_is_there(self, split):
        captions, scenes = split
        world = World()
        first = world.scenes[scenes[0]]
        said = captions[0].removeprefix("a photo of ").removeprefix("a picture of ")
        named = [name for name in ATTRIBUTES if getattr(first, name) in captions[0].split()]
        assert said == describe_scene(first, tuple(named))


@pytest.mark.parametrize("captions", [["alone"], ["one", "two", "three"]])
def test_an_image_without_a_choice_like_the_others_is_refused(tmp_path, captions):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "nshards.txt").write_text("1")
    generator = np.random.default_rng(0)
    with tarfile.open(tmp_path / "test" / "0.tar", "w") as archive:
        for index, lines in enumerate([["fits", "does not"], captions]):
            suffix, content = picture(generator, index)
            member(archive, f"s{index}.{suffix}", content)
            member(archive, f"s{index}.txt", "\n".join(lines).encode())
    dataset = known_datasets.get("world-negatives")
    split = Split(dataset, tmp_path, "test")
    with pytest.raises(UserError, match=f"sample 's1': it has {len(captions)} captions"):
        list(split.batches(8, Transform.whole(32)))


def test_guessing_scores_a_half_on_every_set_of_the_suite():
    sets = suites.expanded(["suite:compositionality"])
    assert len(sets) == 7
    assert all(tasks.chance(known_datasets.get(name)) == 0.5 for name in sets)
