"""A model that cannot be imported is refused in one message, and leaves nothing behind."""

import json
import os
import shutil
import types
from pathlib import Path

import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file

from kbench.experiment.load import imported
from kbench.towers.compat import without_hub

WEIGHTS, CONFIG = "open_clip_model.safetensors", "open_clip_config.json"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return tiny_models.write("vit", tmp_path_factory.mktemp("open_clip") / "vit")


@pytest.fixture(autouse=True)
def no_hub():
    """Nothing here may wait for a network."""
    with without_hub():
        yield


@pytest.fixture
def model(sound, tmp_path):
    """A copy of a sound model, to be spoilt."""
    return shutil.copytree(sound, tmp_path / "model")


def edit(folder, change):
    values = json.loads((folder / CONFIG).read_text())
    change(values)
    (folder / CONFIG).write_text(json.dumps(values))


def rename_a_tensor(folder):
    state = load_file(folder / WEIGHTS)
    state["visual.of_nowhere"] = state.pop("visual.proj")
    save_file(state, folder / WEIGHTS)


def cut(folder):
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])


def cut_torch(folder):
    torch.save(load_file(folder / WEIGHTS), folder / "open_clip_pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    content = (folder / "open_clip_pytorch_model.bin").read_bytes()
    (folder / "open_clip_pytorch_model.bin").write_bytes(content[: len(content) // 2])


def no_tensors(folder):
    torch.save({"state_dict": {"a": 1}}, folder / "open_clip_pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def narrower(folder):
    edit(folder, lambda values: values["model_cfg"].update(embed_dim=24))


def unknown_preprocessing(folder):
    edit(folder, lambda values: values["preprocess_cfg"].update(interpolatoin="bicubic"))


def impossible_preprocessing(folder):
    edit(folder, lambda values: values["preprocess_cfg"].update(resize_mode="stretch"))


def two_sizes(folder):
    edit(folder, lambda values: values["preprocess_cfg"].update(size=224))


def no_tokenizer(folder):
    edit(folder, lambda values: values["model_cfg"]["text_cfg"].update(hf_tokenizer_name="a/b"))


def unknown_key(folder):
    edit(folder, lambda values: values["model_cfg"].update(visoin_cfg={}))


def not_square(folder):
    edit(folder, lambda values: values["model_cfg"]["vision_cfg"].update(image_size=[32, 64]))


SPOILT = {
    rename_a_tensor: ("1 missing: towers.visual.proj", "1 unexpected: towers.visual.of_nowhere"),
    narrower: ("of another shape", "(48, 40) instead of (48, 24)"),
    cut: (WEIGHTS, "cut short"),
    cut_torch: ("open_clip_pytorch_model.bin", "cut short"),
    no_tensors: ("does not hold tensors alone: a",),
    unknown_preprocessing: ("'interpolatoin'; did you mean 'interpolation'",),
    impossible_preprocessing: ("resize_mode", "'stretch'", "'squash'"),
    two_sizes: ("two sizes", "224"),
    not_square: ("[32, 64] pixels are not square",),
    no_tokenizer: ("its tokenizer cannot be had",),
    unknown_key: ("'visoin_cfg'; did you mean 'vision_cfg'",),
    lambda folder: (folder / WEIGHTS).unlink(): ("holds no weights",),
    lambda folder: (folder / CONFIG).unlink(): (f"holds no {CONFIG}",),
    lambda folder: (folder / CONFIG).write_text("{"): (f"{CONFIG} as JSON",),
    lambda folder: (folder / CONFIG).write_text("{}"): ("no embed_dim, vision_cfg, text_cfg",),
}


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_what_is_wrong_is_named(kbench, refused, model, tmp_path, spoil):
    spoil(model)
    done = kbench("model", "import", f"local-dir:{model}", "--as", "x", cwd=tmp_path)
    refused(done, *SPOILT[spoil])
    assert not list((tmp_path / "models").glob("*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere",), "unknown model 'nowhere'"),
        (("local-dir:nowhere",), "local-dir:nowhere: no such folder"),
        (("ViT-B-32/laion2b_s34b_b97k",), "did you mean 'ViT-B-32/laion2b_s34b_b79k'"),
        (("ViT-B-32/openai",), "quick_gelu True, which ViT-B-32 does not have; see ViT-B-32-quick"),
        (("missing.pt", "--architecture", "ViT-B-32"), "no such file: missing.pt"),
        (("weights.safetensors",), "say of which architecture"),
        (("weights.safetensors", "--architecture", "ViT-B-23"), "did you mean 'ViT-B-32'"),
        (("model", "--sha256", "0" * 64), "another file, or cut short"),
        (("model", "--as", "A/B"), "'A/B' cannot name a model"),
        (("model", "--similarity", "wpse-gaussian"), "missing: similarity.sets.heads"),
        (("model", "--similarity", "cosin"), "did you mean 'cosine'"),
    ],
)
def test_a_wrong_word_is_refused(kbench, refused, model, tmp_path, words, message):
    shutil.copy(model / WEIGHTS, tmp_path / "weights.safetensors")
    named = words if "--as" in words else (*words, "--as", "x")
    refused(kbench("model", "import", *named, cwd=tmp_path), message)


def test_what_cannot_be_downloaded_says_what_to_do(kbench, refused, tmp_path):
    for name in ("hf-hub:nobody/nothing", "ViT-B-32/laion2b_s34b_b79k"):
        done = kbench("model", "import", name, "--as", "x", cwd=tmp_path)
        refused(done, f"{name} cannot be had", "copy the files here")


def test_a_name_is_given_once_and_a_changed_model_is_not_taken(kbench, refused, model, tmp_path):
    arguments = ("model", "import", model, "--as", "x")
    assert kbench(*arguments, cwd=tmp_path).returncode == 0
    refused(kbench(*arguments, cwd=tmp_path), "there is a model 'x' already", "remove models/x")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        config = imported("x")
    run = tmp_path / "runs" / config.run
    run.mkdir(parents=True)
    shutil.copy(tmp_path / "models" / "x" / "config.json", run)
    weights = tmp_path / "models" / "x" / "model.safetensors"
    state = load_file(weights)
    state["similarity.scale.log"] += 1
    weights.unlink()
    save_file(state, weights)
    refused(kbench("model", "take", "--run", run, cwd=tmp_path), "was changed: import the model")
    assert not (run / "model.json").exists()
    shutil.rmtree(tmp_path / "models" / "x")
    gone = "no model has been imported, so no 'x'"
    refused(kbench("model", "take", "--run", run, cwd=tmp_path), gone)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


def test_nothing_in_a_checkpoint_runs(kbench, refused, model, tmp_path):
    state = load_file(model / WEIGHTS)
    torch.save({"args": Trap(tmp_path / "trapped"), "state_dict": state}, tmp_path / "trap.pt")
    words = ("trap.pt", "--as", "x", "--architecture", model / CONFIG)
    done = kbench("model", "import", *words, cwd=tmp_path)
    refused(done, "trap.pt holds posix.system, which is never unpickled")
    assert not (tmp_path / "trapped").exists()


def test_a_training_codes_checkpoint_gives_its_weights(kbench, model, tmp_path):
    """Settings beside the weights, as objects of classes that kbench need not have."""
    state = {f"module.{name}": held for name, held in load_file(model / WEIGHTS).items()}
    settings = types.SimpleNamespace(folder=Path("x"), optimizer=Trap)
    held = {"args": settings, "epoch": 3, "state_dict": state}
    torch.save(held, tmp_path / "checkpoint.pt")
    for source, name in (("checkpoint.pt", "one"), (model, "two")):
        words = ("model", "import", source, "--as", name, "--architecture", model / CONFIG)
        done = kbench(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    one, two = (load_file(tmp_path / "models" / n / "model.safetensors") for n in ("one", "two"))
    assert one.keys() == two.keys() and all((one[name] == two[name]).all() for name in one)


def test_a_frozen_model_can_be_compared_by_its_tokens(kbench, model, tmp_path):
    words = ("model", "import", model, "--as", "x", "--similarity", "filip")
    assert "scored by   filip" in kbench(*words, cwd=tmp_path).stdout
    assert "filip" in kbench("models", cwd=tmp_path).stdout
