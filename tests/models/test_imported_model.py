"""From a model in open_clip's form and the tar files to what `kbench evaluate` writes, against
CLIP_benchmark with the same model and files; and back to open_clip.
"""

import pytest
import tiny_models
from clip_benchmark_peer import check_no_ties, check_predictions, check_recalls, write_odd
from safetensors.torch import load_file


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Datasets of odd images, and of odd captions."""
    data = tmp_path_factory.mktemp("data")
    write_odd(data)
    return data


@pytest.fixture(scope="module", params=list(tiny_models.KINDS))
def model(request, tmp_path_factory):
    """A folder of open_clip's."""
    return tiny_models.write(request.param, tmp_path_factory.mktemp("open_clip") / request.param)


@pytest.mark.whole
def test_recalls_and_predictions_are_clip_benchmarks(kbench, model, odd, tmp_path):
    run = tiny_models.taken(kbench, model, tmp_path, "--data", "some pairs", "--licence", "MIT")
    peer = tiny_models.peer(model)
    check_recalls(kbench, run, peer, odd / "odd-captions", "odd-captions", tmp_path)
    check_no_ties(run, "odd-captions")
    check_predictions(kbench, run, peer, odd / "odd-images", "odd-images", tmp_path)
    assert run.similarity.logit_scale().item() == peer.model.logit_scale.exp().item()
    assert run.card.imported.data == ["some pairs"] and run.card.imported.licence == "MIT"
    bias = getattr(peer.model, "logit_bias", None)
    assert (run.objective.logit_bias is None) == (bias is None)
    assert bias is None or run.objective.logit_bias.item() == bias.item()


@pytest.mark.whole
def test_a_round_trip_through_open_clips_form_changes_no_number(kbench, model, odd, tmp_path):
    run = tiny_models.taken(kbench, model, tmp_path / "first")
    exported = tmp_path / "exported"
    done = kbench("model", "export", run.folder, "--output", exported, cwd=tmp_path / "first")
    if "hf_model_name" in run.config.towers.text_cfg:
        assert done.returncode == 2 and "Hugging Face text tower" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    again = tiny_models.taken(kbench, exported, tmp_path / "second")
    ours, theirs = (load_file(one.weights) for one in (run, again))
    assert ours.keys() == theirs.keys() and all((ours[k] == theirs[k]).all() for k in ours)
    one, two = (one.config.towers.model_dump(exclude={"name", "text_cfg"}) for one in (run, again))
    assert one == two
    # Their predictions are those of the first model, before and after.
    check_predictions(
        kbench,
        again,
        tiny_models.peer(model),
        odd / "odd-images",
        "odd-images",
        tmp_path / "second",
    )
    check_recalls(
        kbench,
        again,
        tiny_models.peer(exported),
        odd / "odd-captions",
        "odd-captions",
        tmp_path / "second",
    )
    assert "Licence of the weights: not declared" in (exported / "README.md").read_text()
