"""What open_clip cannot express is refused with the reason; what it makes something else of, too."""

import pytest
import tiny_models

from kbench.errors import UserError
from kbench.experiment.load import imported, read_run
from kbench.models import convert, export, importing, library, weights
from kbench.towers import config as towers

RELEASED = {"padding_embeddings": "shared", "long_captions": "keep-end"}


def test_reasons(tiny_experiment):
    cosine, kernel = (read_run(run / "config.json") for run in tiny_experiment[2])
    assert "cosine, not by mean_ij w_i u_j" in export._inexpressible(kernel)
    assert "words of one's own choice" in export._inexpressible(cosine)
    own_trunk = cosine.towers.model_copy(update={"words": None})
    reason = export._inexpressible(cosine.model_copy(update={"towers": own_trunk}))
    assert "is kbench's own" in reason
    for key, words in (("padding_embeddings", "all padding"), ("long_captions", "end of text")):
        changes = {name: value for name, value in RELEASED.items() if name != key}
        changed = cosine.model_copy(update={"towers": towers.load("wpse-vit-b-16", changes)})
        assert words in export._inexpressible(changed)
    whole = cosine.model_copy(update={"towers": towers.load("wpse-vit-b-16", RELEASED)})
    assert export._inexpressible(whole) is None


def test_a_run_that_is_not_finished_and_a_folder_that_is_there(kbench, refused, tmp_path):
    done = kbench("model", "export", tmp_path, "--output", tmp_path / "x")
    refused(done, "no such file", "config.json")


def test_what_open_clip_makes_something_else_of_is_refused(tmp_path, monkeypatch):
    """A trunk of timm's has the eps it was built with there, whatever kbench has set."""
    folder = tiny_models.write("convnext", tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    importing.import_model("theirs", str(folder))
    config, tensors = imported("theirs"), weights.read(library.MODELS / "theirs" / library.WEIGHTS)
    export._compare(folder, config, convert.build(config, tensors))
    other = config.towers.model_copy(update={"layer_norm_eps": 0.1})
    changed = config.model_copy(update={"towers": other})
    with pytest.raises(UserError, match="open_clip makes of an image something else than kbench"):
        export._compare(folder, changed, convert.build(changed, tensors))
