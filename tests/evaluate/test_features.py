"""Feature folders: one pass over each image, and nothing half-made is ever used."""

import io
import shutil
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from kbench import files, tasks
from kbench.cli import main
from kbench.datasets.dataset import get
from kbench.datasets.reader import Split
from kbench.datasets.texts import class_names, templates
from kbench.datasets.transform import Transform
from kbench.errors import UserError
from kbench.evaluate import features, store
from kbench.evaluate.run import TrainedRun
from kbench.experiment.schema import Evaluation
from kbench.locations import Locations


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of the kernel variant's run, to damage."""
    shutil.copytree(trained[1].folder, tmp_path / "run")
    return TrainedRun(tmp_path / "run")


EVALUATION = Evaluation.model_validate(
    {
        "datasets": ["world-shape"],
        "random_features": {"number": 64, "draws": 2},
        "linear_probe": {"strides": [48], "random_features": 32},
    }
)


def test_every_image_is_encoded_once(copied, tiny_world, monkeypatch):
    shutil.rmtree(copied.folder / "features")
    encoder = features.Encoder(copied, EVALUATION, "cpu")
    seen = []
    encode = encoder.model.towers.encode_image
    monkeypatch.setattr(
        encoder.model.towers,
        "encode_image",
        lambda images: seen.append(len(images)) or encode(images),
    )
    assert encoder.extract(get("world-shape"), Locations(world=tiny_world))
    assert sum(seen) == 64 + 64
    assert not encoder.extract(get("world-shape"), Locations(world=tiny_world))
    assert sum(seen) == 64 + 64


def test_arrays_have_their_shapes(trained):
    reader = store.Reader(trained[1].features("world-shape"))
    assert reader.shapes["test/images/features"] == [64, 2, 64 + 64]
    assert reader.shapes["prompts/features"] == [18, 2, 64 + 64]
    assert reader.shapes["train/after_projection"] == [64, 64 + 32]
    assert reader.shapes["test/before_projection"] == [64, 64]
    assert reader.array("prompt_classes").tolist() == np.repeat(np.arange(6), 3).tolist()
    draws = reader.array("test/images/features")
    assert np.array_equal(draws[:, 0, :64], draws[:, 1, :64]) and not np.array_equal(
        draws[:, 0], draws[:, 1]
    )


def test_features_of_a_similarity_without_randomness_have_one_draw(trained):
    reader = store.Reader(trained[0].features("world-shape"))
    assert reader.shapes["test/images/features"] == [64, 1, 64]
    torch.testing.assert_close(
        reader.representation("test/images", 0)["features"].norm(dim=1), torch.ones(64)
    )


@pytest.mark.parametrize("change", ["random_features", "linear_probe"])
def test_other_settings_make_other_features(copied, tiny_world, change):
    other = {
        "random_features": {"number": 32, "draws": 2},
        "linear_probe": {"released_scaling": False},
    }[change]
    section = getattr(EVALUATION, change).model_copy(update=other)
    encoder = features.Encoder(copied, EVALUATION.model_copy(update={change: section}), "cpu")
    assert encoder.extract(get("world-shape"), Locations(world=tiny_world))


def test_the_released_slip_halves_the_kernel_block_of_the_probe(trained, copied, tiny_world):
    section = EVALUATION.linear_probe.model_copy(
        update={"released_scaling": False, "random_features": 512}
    )
    plain = features.Encoder(copied, EVALUATION.model_copy(update={"linear_probe": section}), "cpu")
    plain.extract(get("world-shape"), Locations(world=tiny_world))
    proper = np.array(store.Reader(copied.features("world-shape")).array("test/after_projection"))
    section = section.model_copy(update={"released_scaling": True})
    slip = features.Encoder(copied, EVALUATION.model_copy(update={"linear_probe": section}), "cpu")
    slip.extract(get("world-shape"), Locations(world=tiny_world))
    released = np.array(store.Reader(copied.features("world-shape")).array("test/after_projection"))
    np.testing.assert_allclose(released[:, :64], proper[:, :64], rtol=1e-5)
    np.testing.assert_allclose(released[:, 64:] * np.sqrt(2), proper[:, 64:], rtol=1e-4, atol=1e-7)


def test_the_released_resize_is_the_probes_alone(copied, tiny_world):
    before = store.Reader(copied.features("world-shape"))
    plain = {name: np.array(before.array(name)) for name in before.shapes}
    section = EVALUATION.linear_probe.model_copy(update={"released_resize": True})
    encoder = features.Encoder(
        copied, EVALUATION.model_copy(update={"linear_probe": section}), "cpu"
    )
    seen = []
    encode = encoder.model.towers.encode_image
    encoder.model.towers.encode_image = lambda images: seen.append(len(images)) or encode(images)
    assert encoder.extract(get("world-shape"), Locations(world=tiny_world))
    assert sum(seen) == 2 * 64 + 64
    after = store.Reader(copied.features("world-shape"))
    assert after.shapes == before.shapes
    changed = {
        name for name, array in plain.items() if not np.array_equal(array, after.array(name))
    }
    assert changed == {
        f"{split}/{place}_projection"
        for split in ("train", "test")
        for place in ("before", "after")
    }


def test_prompts_are_encoded_once_for_all_draws(copied, tiny_world, monkeypatch):
    shutil.rmtree(copied.folder / "features")
    encoder = features.Encoder(copied, EVALUATION, "cpu")
    seen = []
    encode = encoder.model.towers.encode_text
    monkeypatch.setattr(
        encoder.model.towers,
        "encode_text",
        lambda tokens, **options: seen.append(len(tokens)) or encode(tokens, **options),
    )
    encoder.extract(get("world-shape"), Locations(world=tiny_world))
    assert sum(seen) == 18


@pytest.mark.parametrize("variant", [0, 1])
def test_scores_do_not_move_with_the_batch_size(trained, tiny_world, tmp_path, variant):
    where, scored = Locations(world=tiny_world), {}
    for batch_size in (256, 64, 7):
        folder = tmp_path / str(batch_size)
        shutil.copytree(trained[variant].folder, folder)
        shutil.rmtree(folder / "features")
        run = TrainedRun(folder)
        encoder = features.Encoder(
            run, EVALUATION.model_copy(update={"batch_size": batch_size}), "cpu"
        )
        for task, name in (("zeroshot", "world-shape"), ("retrieval", "world-retrieval")):
            encoder.extract(get(name), where)
            reader = store.Reader(run.features(name))
            outcome = tasks.get(task).score(run, reader, EVALUATION, device="cpu")
            arrays = {array: np.array(reader.array(array)) for array in reader.shapes}
            scored.setdefault(task, []).append((outcome.values, arrays))
    for task, results in scored.items():
        first, arrays = results[0]
        for values, others in results[1:]:
            assert values == first, task
            for name, array in arrays.items():
                np.testing.assert_allclose(others[name], array, atol=1e-5, err_msg=name)


def test_an_extraction_that_was_cut_off_starts_over(copied, tiny_world, monkeypatch):
    folder = copied.features("world-shape")
    whole = {
        name: np.array(store.Reader(folder).array(name)) for name in store.Reader(folder).shapes
    }
    shutil.rmtree(folder)
    encoder = features.Encoder(copied, EVALUATION, "cpu")
    with monkeypatch.context() as patch:
        patch.setattr(encoder, "_prompts", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            encoder.extract(get("world-shape"), Locations(world=tiny_world))
    assert not folder.exists() and folder.with_name(".world-shape.part").exists()
    with pytest.raises(UserError, match="run `kbench features` first"):
        store.Reader(folder)
    assert encoder.extract(get("world-shape"), Locations(world=tiny_world))
    assert not folder.with_name(".world-shape.part").exists()
    reader = store.Reader(folder)
    assert reader.shapes.keys() == whole.keys()
    assert all(np.array_equal(reader.array(name), values) for name, values in whole.items())


@pytest.mark.whole
def test_a_killed_extraction_does_not_count(copied, tiny_world, tiny_experiment):
    shutil.rmtree(copied.folder / "features")
    (copied.folder / "encoded.json").unlink(missing_ok=True)
    evaluation = tiny_experiment[1] / "evaluation.json"
    command = [
        sys.executable,
        "-m",
        "kbench",
        "features",
        "--run",
        copied.folder,
        "--evaluation",
        evaluation,
    ]
    process = subprocess.Popen(
        [*command, "--world", tiny_world, "--device", "cpu"], stdout=subprocess.DEVNULL
    )
    part = copied.features("world-shape").with_name(".world-shape.part")
    while not part.exists():
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert not (copied.folder / "encoded.json").exists()
    with pytest.raises(UserError, match="run `kbench features` first"):
        store.Reader(copied.features("world-shape"))
    encoder = features.Encoder(copied, EVALUATION, "cpu")
    assert encoder.extract(get("world-shape"), Locations(world=tiny_world))
    assert store.Reader(copied.features("world-shape")).array("test/targets").shape == (64,)


def test_a_folder_half_removed_does_not_count(copied, monkeypatch):
    folder = copied.features("world-shape")
    key = store.Reader(folder).key
    writer = store.Writer(folder)
    writer.whole("x", [1])
    monkeypatch.setattr(store.shutil, "rmtree", lambda *arguments, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        writer.finish({"other": 1})
    assert not store.present(folder, key)


def test_the_key_says_what_the_features_are_of(copied, tiny_world):
    key = store.Reader(copied.features("world-shape")).key
    assert key["checkpoint_sha256"] == copied.card.checkpoint_sha256
    assert (
        key["dtype"]
        == "float32"
        == str(store.Reader(copied.features("world-shape")).array("prompts/features").dtype)
    )
    assert key["random_features"]["number"] == 64 and key["estimator"]
    assert (
        key["dataset"]["test_split"] == "test"
        and len(key["dataset_sha256"]) == 64
        and key["transform"]
    )


def test_a_changed_bit_is_noticed(copied):
    path = copied.features("world-shape") / "test" / "images" / "features.npy"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"features\.npy is corrupt: delete .* and run `kbench features` again"
    ):
        store.Reader(copied.features("world-shape")).array("test/images/features")


class TestBadInput:
    """`kbench features` on what is wrong: message, status 2, and everything that was there before
    is as it was.
    """

    @pytest.fixture
    def attempt(self, copied, tiny_world, tiny_experiment, tmp_path, capsys):
        shutil.copytree(tiny_world, tmp_path / "world")
        shutil.rmtree(copied.features("world-shape"))
        before = {
            path: files.sha256(path)
            for path in copied.folder.rglob("*")
            if path.parent.parent.name == "evaluation"
        }
        assert before

        def run():
            evaluation = str(tiny_experiment[1] / "evaluation.json")
            with pytest.raises(SystemExit) as stop:
                main(
                    [
                        "features",
                        "--run",
                        str(copied.folder),
                        "--evaluation",
                        evaluation,
                        "--world",
                        str(tmp_path / "world"),
                    ]
                )
            assert stop.value.code == 2
            assert not copied.features("world-shape").exists()
            assert all(files.sha256(path) == digest for path, digest in before.items())
            return capsys.readouterr().err

        return run

    @pytest.fixture
    def data(self, attempt, tmp_path):
        return tmp_path / "world" / "benchmark" / "world-shape"

    def test_weights_of_another_architecture(self, attempt, copied, trained):
        other = load_file(trained[0].weights)
        save_file(
            {name: tensor for name, tensor in other.items() if "bias" not in name},
            copied.folder / "model.safetensors",
        )
        card = files.read_json(copied.folder / "model.json")
        card["checkpoint_sha256"] = files.sha256(copied.folder / "model.safetensors")
        files.write_json(copied.folder / "model.json", card)
        assert "holds another architecture" in attempt()

    def test_weights_that_are_not_the_cards(self, attempt, copied, trained):
        shutil.copy(trained[0].weights, copied.folder / "model.safetensors")
        assert "differs from model.json" in attempt()

    def test_labels_out_of_range(self, attempt, data):
        rewrite(
            data / "test" / "0.tar",
            lambda name, content: b"6" if name.endswith(".cls") else content,
        )
        assert "'6' is not a class index below 6" in attempt()

    def test_class_list_of_another_length(self, attempt, data):
        with (data / "classnames.txt").open("a") as stream:
            stream.write("heptagon\n")
        assert "names 7 classes; 'world-shape' has 6" in attempt()

    def test_no_images(self, attempt, data):
        rewrite(data / "test" / "0.tar", lambda name, content: None)
        assert "holds no images" in attempt()


def rewrite(shard, change):
    """Replace the contents of a shard's members, leaving out those for which `change` returns
    None.
    """
    with tarfile.open(shard) as archive:
        members = [(info, archive.extractfile(info).read()) for info in archive]
    with tarfile.open(shard, "w") as archive:
        for info, content in members:
            changed = change(info.name, content)
            if changed is not None:
                info.size = len(changed)
                archive.addfile(info, io.BytesIO(changed))


def test_an_unfinished_folder_is_not_read(tmp_path):
    writer = store.Writer(tmp_path / "features")
    writer.whole("x", [1, 2])
    with pytest.raises(UserError, match="run `kbench features` first"):
        store.Reader(tmp_path / "features")
    writer.finish({"k": 1})
    assert store.present(tmp_path / "features", {"k": 1}) and not store.present(
        tmp_path / "features", {"k": 2}
    )
    assert [path.name for path in tmp_path.iterdir()] == ["features"]


def test_a_corrupt_array_is_named_and_other_results_stay(kbench, refused, copied, tiny_experiment):
    evaluation = tiny_experiment[1] / "evaluation.json"
    path = copied.features("world-shape") / "test" / "targets.npy"
    path.write_bytes(path.read_bytes()[:-8])
    before = files.sha256(copied.folder / "evaluation" / "world-digits" / "zeroshot.json")
    arguments = ("--run", copied.folder, "--evaluation", evaluation)
    refused(kbench("zeroshot", *arguments, "--dataset", "world-shape"), "targets.npy is corrupt")
    path.unlink()
    (copied.folder / "evaluation" / "world-shape" / "zeroshot.json").unlink()
    refused(kbench("evaluate", *arguments), "targets.npy")
    assert files.sha256(copied.folder / "evaluation" / "world-digits" / "zeroshot.json") == before


@pytest.mark.parametrize("command", ["evaluate", "zeroshot"])
@pytest.mark.parametrize("changed", [{"version": 2}, {"transform": "a square of source pixels"}])
def test_features_of_another_version_or_transform_are_refused_and_results_stay(
    kbench, refused, copied, tiny_experiment, command, changed
):
    path = copied.features("world-shape") / store.RECORD
    record = files.read_json(path)
    files.write_json(path, record | {"key": record["key"] | changed})
    before = {path: path.read_bytes() for path in copied.folder.rglob("*") if path.is_file()}
    dataset = ("--dataset", "world-shape") if command == "zeroshot" else ()
    evaluation = tiny_experiment[1] / "evaluation.json"
    process = kbench(command, "--run", copied.folder, "--evaluation", evaluation, *dataset)
    (found,) = changed.values()
    refused(
        process, f"{copied.features('world-shape')}", repr(found), "run `kbench features` again"
    )
    assert {
        path: path.read_bytes() for path in copied.folder.rglob("*") if path.is_file()
    } == before


def test_features_of_another_transform_are_made_again(copied, tiny_world):
    encoder, folder = features.Encoder(copied, EVALUATION, "cpu"), copied.features("world-shape")
    encoder.extract(get("world-shape"), Locations(world=tiny_world))
    assert not encoder.extract(get("world-shape"), Locations(world=tiny_world))
    record = files.read_json(folder / store.RECORD)
    files.write_json(folder / store.RECORD, record | {"key": record["key"] | {"version": 2}})
    assert encoder.extract(get("world-shape"), Locations(world=tiny_world))
    assert store.Reader(folder).key == record["key"]


class TestDatasetRefusals:
    @pytest.fixture
    def world(self, tiny_world, tmp_path):
        shutil.copytree(tiny_world, tmp_path / "world")
        return tmp_path / "world" / "benchmark" / "world-shape"

    def test_missing_dataset_says_what_to_place_where(self, tmp_path):
        with pytest.raises(UserError, match=r"dataset 'cifar10' is not at .*classnames\.txt"):
            get("cifar10").root(Locations(data=tmp_path))

    def test_missing_shard(self, world):
        (world / "test" / "0.tar").unlink()
        with pytest.raises(UserError, match=r"0\.tar is missing; nshards\.txt promises 1"):
            Split(get("world-shape"), world, "test")

    def test_truncated_shard(self, world):
        path = world / "test" / "0.tar"
        path.write_bytes(path.read_bytes()[:1300])
        with pytest.raises(UserError, match=r"0\.tar"):
            list(Split(get("world-shape"), world, "test").batches(8, Transform.whole(32)))

    def test_wrong_count(self, world):
        with pytest.raises(UserError, match="has 64 images, not 99"):
            Split(get("world-shape").model_copy(update={"n_test": 99}), world, "test")

    def test_labels_out_of_range(self, world):
        split = Split(get("world-shape").model_copy(update={"n_classes": 2}), world, "test")
        with pytest.raises(UserError, match="is not a class index below 2"):
            list(split.batches(8, Transform.whole(32)))

    def test_class_list_of_another_length(self, world):
        with pytest.raises(UserError, match="names 6 classes; 'world-shape' has 7"):
            class_names(get("world-shape").model_copy(update={"n_classes": 7}), world)

    def test_template_without_a_place(self, world):
        (world / "zeroshot_classification_templates.txt").write_text("a photo\n")
        with pytest.raises(UserError, match=r"has no \{c\}"):
            templates(get("world-shape"), world)

    def test_unknown_dataset(self):
        with pytest.raises(UserError, match="did you mean 'cifar10'"):
            get("cifar")
