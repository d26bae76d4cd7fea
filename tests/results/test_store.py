"""What the store refuses, what it reports as missing, and what it leaves out."""

import json

import pytest
from synthetic import change, run_name, write_experiment

from kbench.errors import UserError
from kbench.results import store, table
from kbench.results.text import summary

RUN = run_name("cosine", 0)
OTHER = run_name("wpse-linear", 1)


@pytest.fixture
def folder(tmp_path):
    return write_experiment(tmp_path / "made-up", {"cosine": 2.0, "wpse-linear": 1.0}, n_test=40)


def result_path(folder, run=RUN, dataset="world-shape", task="zeroshot"):
    return folder / "runs" / run / "evaluation" / dataset / f"{task}.json"


def test_everything_is_there(folder):
    loaded = store.load(folder)
    assert len(loaded.results) == loaded.expected == 4 * (3 * 2 + 1 + 1)
    assert loaded.missing == ()
    assert set(loaded.cards) == set(loaded.experiment.runs)


def test_missing_results_have_the_job_that_makes_them(folder):
    result_path(folder).unlink()
    (folder / "runs" / OTHER / "model.json").unlink()
    result_path(folder, OTHER, "world-pairs", "pmi_gap").unlink()
    found = {(item.run, item.dataset, item.task): item.job for item in store.load(folder).missing}
    assert set(found) == {(RUN, "world-shape", "zeroshot"), (OTHER, "world-pairs", "pmi_gap")}
    assert found[RUN, "world-shape", "zeroshot"].startswith(
        f"snakemake {folder}/runs/{RUN}/evaluated.json "
    )
    assert found[OTHER, "world-pairs", "pmi_gap"].startswith(
        f"snakemake {folder}/runs/{OTHER}/model.json "
    )


def test_missing_is_never_a_number(folder):
    result_path(folder).unlink()
    loaded = store.load(folder)
    frame = table.frame(loaded)
    missing = frame[frame["status"] == "missing"]
    assert len(missing) == 1 and missing["value"].isna().all() and missing["job"].notna().all()
    assert missing.iloc[0]["variant"] == "cosine" and missing.iloc[0]["seed"] == 0
    assert missing.iloc[0]["job"] in summary(loaded, frame)


def test_an_experiment_without_any_result(tmp_path):
    folder = write_experiment(tmp_path / "empty", {"cosine": 1.0}, seeds=(0,), datasets=())
    document = json.loads((folder / "experiment.json").read_text())
    (folder / "experiment.json").write_text(json.dumps(document | {"datasets": ["world-shape"]}))
    loaded = store.load(folder)
    assert len(loaded.missing) == 2 and "0 of 2 results" in summary(loaded, table.frame(loaded))


def test_runs_that_left_the_experiment_are_named(folder):
    document = json.loads((folder / "experiment.json").read_text())
    document["runs"].remove(RUN)
    (folder / "experiment.json").write_text(json.dumps(document))
    loaded = store.load(folder)
    assert loaded.stale == (RUN,)
    assert RUN not in set(table.frame(loaded)["run"])
    assert f"no longer part of the experiment: {RUN}" in summary(loaded, table.frame(loaded))


@pytest.mark.parametrize(
    "key, value",
    [
        ("image_digest", "sha256:feed"),
        ("evaluation", "feed"),
        ("dataset_sha256", "feed"),
        ("n_test", 41),
        ("checkpoint_sha256", "feed"),
    ],
)
def test_mixed_provenance_names_both_sides(folder, key, value):
    run = RUN if key == "checkpoint_sha256" else OTHER
    path = result_path(folder, run)
    change(path, **{key: value})
    with pytest.raises(UserError) as caught:
        store.load(folder)
    message = str(caught.value)
    assert str(path) in message and str(value) in message and message.count(".json") == 2


def test_model_card_of_another_checkpoint(folder):
    change(folder / "runs" / RUN / "model.json", checkpoint_sha256="feed")
    with pytest.raises(UserError, match="feed"):
        store.load(folder)


def test_two_runs_for_one_cell(folder):
    change(result_path(folder, OTHER), variant="cosine", seed=0)
    with pytest.raises(UserError) as caught:
        store.load(folder)
    assert RUN in str(caught.value) and OTHER in str(caught.value)


def test_result_in_the_wrong_place(folder):
    change(result_path(folder), dataset="world-size")
    with pytest.raises(
        UserError, match=r"clashing result: .*world-shape/zeroshot\.json holds .* world-size"
    ):
        store.load(folder)


def test_result_of_another_experiment(folder):
    change(result_path(folder), experiment="cc3m")
    with pytest.raises(UserError, match="belongs to experiment cc3m"):
        store.load(folder)


@pytest.mark.parametrize("content", ["{", '{"schema_version": 1}', '"text"', b"\xff\xfe"])
def test_unreadable_result(folder, content):
    path = result_path(folder)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError, match=r"world-shape/zeroshot\.json"):
        store.load(folder)


def test_unknown_key_is_refused(folder):
    change(result_path(folder), surprise=1)
    with pytest.raises(UserError, match="surprise"):
        store.load(folder)


def test_folders_that_are_no_experiment(tmp_path):
    with pytest.raises(UserError, match="no such results folder"):
        store.load(tmp_path / "absent")
    with pytest.raises(UserError, match=r"experiment\.json"):
        store.load(tmp_path)


def test_mixed_images_are_compared_only_when_asked_for_and_then_named(folder):
    from kbench.report import content
    from kbench.report.analysis import Analysis

    change(result_path(folder, OTHER), image_digest="sha256:feed")
    change(folder / "runs" / OTHER / "model.json", image_digest="sha256:feed")
    with pytest.raises(UserError, match="--allow-mixed-images"):
        store.load(folder)
    loaded = store.load(folder, mixed_images=True)
    both = ("none (run on the host)", "sha256:feed (1 run)")
    frame = table.frame(loaded)
    report = content.build(Analysis(loaded, frame), figures=False)
    assert all(image in summary(loaded, frame) for image in both)
    assert any(all(image in warning for image in both) for warning in report.warnings)
    shown = [t for s in report.sections for t in s.tables if t.id.startswith(("scores-", "pairs-"))]
    assert shown and all(all(image in t.notes[-1] for image in both) for t in shown)


def test_one_image_needs_no_footnote(folder):
    assert store.load(folder, mixed_images=True).mixture_notes == []


@pytest.mark.parametrize("key", ["code_version", "dataset_sha256"])
def test_nothing_else_is_mixed_when_images_may_be(folder, key):
    change(result_path(folder, OTHER), **{key: "feed"})
    with pytest.raises(UserError, match="must not be mixed"):
        store.load(folder, mixed_images=True)


def test_mixed_images_on_the_command_line(folder, kbench, refused):
    change(result_path(folder, OTHER), image_digest="sha256:feed")
    for command in ("compare", "report"):
        refused(kbench(command, folder), "sha256:feed", "none (run on the host)")
        allowed = kbench(command, folder, "--allow-mixed-images")
        assert allowed.returncode == 0 and "sha256:feed" in allowed.stdout
