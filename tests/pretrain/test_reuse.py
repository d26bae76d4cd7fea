"""A finished run that is the same is taken over from another experiment; where one is not, it is
said why.
"""

import json
import shutil

import pytest

from kbench import files
from kbench.cli import main
from kbench.corpus import manifest
from kbench.evaluate import reuse
from kbench.evaluate.features import Encoder
from kbench.evaluate.run import TrainedRun, datasets, read_evaluation
from kbench.locations import Locations


@pytest.fixture
def other(trained, tmp_path):
    """A copy of the finished experiment, as results/one; and an empty run of the same name in
    results/two.
    """
    one = tmp_path / "results" / "one"
    shutil.copytree(trained[0].folder.parents[1], one)
    run = TrainedRun(one / "runs" / trained[0].folder.name)
    folder = tmp_path / "results" / "two" / "runs" / run.folder.name
    folder.mkdir(parents=True)
    shutil.copy(run.folder / "config.json", folder)
    return run, folder


def take(run, folder):
    corpus = manifest.read(folder.parents[2] / "one" / "corpus.json")
    return reuse.take(run.config, folder, corpus, [folder.parents[2]])


def everything(folder):
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_same_run_is_not_trained_again(other, tiny_world, capsys):
    run, folder = other
    before = everything(run.folder)
    command = [
        "pretrain",
        "--run",
        folder,
        "--manifest",
        run.folder.parents[1] / "corpus.json",
        "--workers",
        0,
    ]
    command += ["--world", tiny_world, "--reuse", folder.parents[2]]
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in command])
    assert ended.value.code == 0 and "taken over from one" in capsys.readouterr().out
    taken = TrainedRun(folder)
    assert taken.weights.read_bytes() == run.weights.read_bytes()
    assert taken.card == run.card.model_copy(update={"taken_from": "one"})
    assert not (folder / "checkpoints").exists()
    assert everything(run.folder) == before


def test_its_features_are_not_made_again(other, tiny_world):
    run, folder = other
    assert take(run, folder) == "one"
    _, evaluation = read_evaluation(run.folder.parents[1] / "evaluation.json")
    encoder = Encoder(TrainedRun(folder), evaluation, "cpu")
    assert [
        encoder.extract(dataset, Locations(world=tiny_world)) for dataset in datasets(evaluation)
    ] == [False] * 4


def test_features_are_copied_where_links_cannot_be_made(other, monkeypatch):
    run, folder = other

    def refuse(*_, **__):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(reuse.os, "link", refuse)
    assert take(run, folder) == "one"
    record = next(folder.glob("features/*/features.json"))
    assert record.read_bytes() == (run.folder / record.relative_to(folder)).read_bytes()


def test_what_was_taken_over_names_the_experiment_that_trained_it(other):
    run, folder = other
    take(run, folder)
    third = folder.parents[2] / "three" / "runs" / folder.name
    third.mkdir(parents=True)
    shutil.copy(folder / "config.json", third)
    shutil.copy(run.folder.parents[1] / "corpus.json", folder.parents[1])
    shutil.rmtree(run.folder)
    assert take(TrainedRun(folder), third) == "two"
    assert json.loads((third / "model.json").read_text())["taken_from"] == "one"


def edited(path, **changes):
    files.write_json(path, files.read_json(path) | changes)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda run: edited(run / "model.json", torch_version="1.0"), "its torch differs"),
        (
            lambda run: edited(run / "model.json", training_code="0" * 12),
            "the code that trained it differs",
        ),
        (lambda run: edited(run / "model.json", image_digest="ab"), "its container image differs"),
        (lambda run: edited(run.parents[1] / "corpus.json", pairs=5), "its corpus differs"),
        (
            lambda run: (run / "model.safetensors").write_bytes(b"x"),
            "model.safetensors is missing or differs",
        ),
        (lambda run: (run.parents[1] / "corpus.json").unlink(), "corpus.json"),
        (lambda run: (run / "model.json").write_text("{"), "model.json"),
        (lambda run: edited(run / "config.json", seed=7), "model.json belongs to configuration"),
    ],
)
def test_another_run_is_not_taken_over(other, change, reason, capsys):
    run, folder = other
    corpus = manifest.read(run.folder.parents[1] / "corpus.json")
    wanted = TrainedRun(run.folder).config
    change(run.folder)
    assert reuse.take(wanted, folder, corpus, [folder.parents[2]]) is None
    said = capsys.readouterr().out
    assert f"{wanted.run} of one is not taken over: " in said and reason in said
    assert [path.name for path in folder.iterdir()] == ["config.json"]


def test_a_run_that_is_not_finished_is_passed_over(other, capsys):
    run, folder = other
    (run.folder / "model.json").unlink()
    corpus = manifest.read(run.folder.parents[1] / "corpus.json")
    assert reuse.take(run.config, folder, corpus, [folder.parents[2]]) is None
    assert capsys.readouterr().out == ""
