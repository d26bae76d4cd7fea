"""Weights along a training: kept at the right steps with the right bits, scored as the last ones, and
shown.
"""

import json
import shutil

import pytest
from safetensors.torch import load_file
from tiny import EXPERIMENT

from kbench import files
from kbench.corpus.manifest import verify
from kbench.errors import UserError
from kbench.evaluate.reuse import _copy
from kbench.evaluate.run import TrainedRun
from kbench.experiment.load import load, read_run, resolve
from kbench.locations import Locations
from kbench.plan.freeze import freeze
from kbench.pretrain.loop import pretrain
from kbench.records import intermediate
from kbench.report import content, render
from kbench.report.analysis import Analysis
from kbench.results import along, bundle, store, table

KEEPING = EXPERIMENT.replace("epochs: 1,", "epochs: 1, keep: {every_epochs: 0.375},")
"""Sixteen steps, six in 0.375 epochs."""


def trained_into(folder, config, world):
    """Train a configuration into a folder and return the run."""
    where = Locations(world=world)
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / "config.json", config.model_dump(mode="json"))
    manifest = verify(config.corpus, where)
    pretrain(config, folder, manifest, where, "cpu", workers=0)
    return TrainedRun(folder)


@pytest.fixture(scope="module")
def results(tmp_path_factory, tiny_world):
    """A finished experiment that kept weights on the way."""
    folder = tmp_path_factory.mktemp("along")
    (folder / "tiny.yaml").write_text(KEEPING.replace("variants: [cosine,", "variants: [cosine] #"))
    experiment = load(str(folder / "tiny.yaml"))
    runs = resolve(experiment)
    freeze(experiment, runs, [], folder / "tiny")
    for config in runs:
        trained_into(folder / "tiny" / "runs" / config.run, config, tiny_world)
    return folder / "tiny"


@pytest.fixture(scope="module")
def scored(results, kbench, tiny_world):
    """The same with features and scores, as the commands make them."""
    [run] = (results / "runs").iterdir()
    words = ("--run", run, "--evaluation", results / "evaluation.json", "--device", "cpu")
    for command in (("features", *words, "--world", tiny_world), ("evaluate", *words)):
        done = kbench(*command)
        assert done.returncode == 0, done.stderr
    return results


@pytest.mark.whole
def test_weights_are_kept_when_so_many_epochs_are_over(results):
    [run] = (results / "runs").iterdir()
    points = TrainedRun(run).along
    assert [point.card.steps for point in points] == [16, 6, 12]
    assert [point.card.samples for point in points] == [512, 192, 384]
    assert all(point.weights.is_file() for point in points), "hashes are those of the cards"
    assert len(points) == points[0].config.points, "as many as `kbench check` plans with"


@pytest.mark.whole
def test_keeping_changes_no_step_and_is_part_of_the_name(results, tiny_world, tmp_path):
    [run] = (results / "runs").iterdir()
    config = read_run(run / "config.json")
    training = config.training.model_copy(update={"keep": None})
    plain = config.model_copy(update={"training": training})
    other = trained_into(tmp_path / plain.run, plain, tiny_world)
    assert plain.hash != config.hash and other.along == [other]
    ours, theirs = load_file(run / "model.safetensors"), load_file(other.weights)
    assert all(ours[name].equal(theirs[name]) for name in theirs)


@pytest.mark.whole
def test_a_resumed_run_keeps_the_same(results, tiny_world, tmp_path, monkeypatch):
    [run] = (results / "runs").iterdir()
    config = read_run(run / "config.json")
    monkeypatch.setattr("kbench.pretrain.loop.CHECKPOINT_SECONDS", 0)
    folder = tmp_path / run.name

    def stop(self, trainer):
        if trainer.progress.step == 9:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(
            "kbench.pretrain.journal.Journal.note", lambda self, *measured: stop(self, self.trainer)
        )
        with pytest.raises(KeyboardInterrupt):
            trained_into(folder, config, tiny_world)
    kept = intermediate.finished(folder)
    assert [path.name for path in kept] == ["step-000000006"]
    shutil.rmtree(kept[0])
    (checkpoint,) = sorted((folder / "checkpoints").glob("step-*.pt"))[-1:]
    assert checkpoint.name == "step-000000008.pt"
    monkeypatch.setattr("kbench.pretrain.checkpoint.Checkpoints.latest", lambda self: None)
    trained_into(folder, config, tiny_world)
    for path in intermediate.finished(run):
        again = folder / path.relative_to(run) / "model.safetensors"
        assert files.sha256(again) == files.sha256(path / "model.safetensors")


@pytest.mark.whole
def test_they_are_scored_like_the_last_ones_and_tabled_by_pairs_seen(scored):
    frames = along.frames(store.load(scored))
    assert list(frames) == [192, 384, 512]
    keys = [set(zip(f["dataset"], f["task"], f["metric"], strict=True)) for f in frames.values()]
    assert keys[0] == keys[1] == keys[2]
    assert len({tuple(frame["value"]) for frame in frames.values()}) == 3
    last = table.frame(store.load(scored))
    assert frames[512]["value"].tolist() == last["value"].tolist()


@pytest.mark.whole
def test_compare_writes_them_and_the_report_shows_them(scored, kbench):
    done = kbench("compare", scored)
    assert done.returncode == 0 and f"wrote {scored / along.FILE}" in done.stdout
    lines = (scored / along.FILE).read_text().splitlines()
    assert len(lines) == 1 + 3 * len(table.frame(store.load(scored)))
    loaded = store.load(scored)
    page = render.html(content.build(Analysis(loaded, table.frame(loaded))))
    assert 'id="figure-along-zeroshot"' in page and 'id="along-retrieval"' in page


@pytest.mark.whole
def test_a_bundle_has_them(scored, tmp_path):
    bundle.write(scored, tmp_path / "x.tar.xz")
    there = along.frames(store.load(tmp_path / "x.tar.xz"))
    assert [f["value"].tolist() for f in there.values()] == [
        f["value"].tolist() for f in along.frames(store.load(scored)).values()
    ]


@pytest.mark.whole
def test_scores_of_other_weights_are_refused(scored, tmp_path):
    copied = shutil.copytree(scored, tmp_path / "tiny")
    path = next(copied.glob("runs/*/intermediate/*/evaluation/world-shape/zeroshot.json"))
    document = json.loads(path.read_text())
    document["provenance"]["checkpoint_sha256"] = "0" * 64
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match="is of other weights than those in"):
        along.frames(store.load(copied))


def test_a_run_without_them_has_no_section(trained, tiny_experiment):
    loaded = store.load(tiny_experiment[1])
    assert along.frames(loaded) == {}
    assert "Along the training" not in render.html(
        content.build(Analysis(loaded, table.frame(loaded)), figures=False)
    )


@pytest.mark.whole
def test_a_run_that_is_taken_over_brings_them(scored, tmp_path):
    [run] = (scored / "runs").iterdir()
    (tmp_path / run.name).mkdir()
    shutil.copy(run / "config.json", tmp_path / run.name)
    _copy(run, tmp_path / run.name, "tiny")
    brought = TrainedRun(tmp_path / run.name).along
    assert [point.card.steps for point in brought] == [16, 6, 12]
    assert all(point.weights.is_file() for point in brought)
    assert not list(tmp_path.rglob("evaluation"))
