"""What is kept and what is made again when settings or code change, on runs that were really
trained.
"""

import json
import shutil
import subprocess
import sys

import pytest
from tiny import ROOT

from kbench import files, tasks
from kbench.cli import main
from kbench.identity import code
from kbench.identity.stages import DECIDES_NOTHING, Stages
from kbench.pretrain.checkpoint import Checkpoints
from kbench.results import store


@pytest.fixture
def copied(trained, tiny_experiment, tmp_path):
    """A copy of the tiny experiment's results, to change: (results folder, the kernel variant's
    run, evaluation).
    """
    results = tmp_path / "results"
    shutil.copytree(tiny_experiment[1], results)
    return results, results / "runs" / trained[1].folder.name, results / "evaluation.json"


@pytest.fixture
def evaluate(copied, capsys):
    """Run `kbench evaluate` on the run; returns (status, the results that were kept and those that
    were made).
    """
    _, run, evaluation = copied

    def call():
        with pytest.raises(SystemExit) as stop:
            main(["evaluate", "--run", str(run), "--evaluation", str(evaluation)])
        said = capsys.readouterr()
        words = [line.split() for line in said.out.splitlines()]
        kept = {(line[1], line[2]) for line in words if line[-1] == "(kept)"}
        return stop.value.code, kept, {(line[1], line[2]) for line in words} - kept, said.err

    return call


def set_evaluation(path, section, **values):
    document = json.loads(path.read_text())
    document["evaluation"][section] |= values
    path.write_text(json.dumps(document))


def test_a_second_evaluation_keeps_every_result_as_it_is(copied, evaluate):
    before = {path: files.sha256(path) for path in copied[1].glob("evaluation/*/*")}
    status, kept, made, _ = evaluate()
    assert status == 0 and made == set() and len(kept) == 6
    assert {path: files.sha256(path) for path in copied[1].glob("evaluation/*/*")} == before


def test_other_settings_of_the_probe_make_the_probes_results_again_and_no_others(copied, evaluate):
    set_evaluation(copied[2], "linear_probe", strides=[96])
    status, kept, made, _ = evaluate()
    assert status == 0
    assert made == {("world-shape", "linear_probe"), ("world-digits", "linear_probe")}
    assert len(kept) == 4


def test_results_of_other_settings_are_refused_until_they_are_made_again(copied, evaluate):
    results, _, evaluation = copied
    set_evaluation(evaluation, "linear_probe", strides=[96])
    evaluate()
    with pytest.raises(files.UserError, match=r"evaluation settings of world-\w+ \(linear_probe\)"):
        store.load(results)


def test_features_of_other_draws_are_refused_and_nothing_is_overwritten(copied, evaluate):
    before = {path: files.sha256(path) for path in copied[1].rglob("*.json")}
    set_evaluation(copied[2], "random_features", draws=3)
    status, kept, made, said = evaluate()
    assert status == 2 and not kept and not made
    assert "random_features.draws 2 instead of 3" in said and "Run `kbench features` first" in said
    assert {path: files.sha256(path) for path in copied[1].rglob("*.json")} == before


def test_features_of_another_checkpoint_are_refused(copied, evaluate):
    card = json.loads((copied[1] / "model.json").read_text())
    (copied[1] / "model.json").write_text(json.dumps(card | {"checkpoint_sha256": "0" * 64}))
    status, _, _, said = evaluate()
    assert status == 2 and "checkpoint_sha256" in said


def test_features_of_other_code_are_made_again(copied, tiny_world, capsys):
    _, run, evaluation = copied
    record = run / "features" / "world-shape" / "features.json"
    document = json.loads(record.read_text())
    document["key"]["features_code"] = "0" * 12
    record.write_text(json.dumps(document))
    with pytest.raises(SystemExit) as stop:
        main(
            [
                "features",
                "--run",
                str(run),
                "--evaluation",
                str(evaluation),
                "--world",
                str(tiny_world),
            ]
        )
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert "world-shape: encoded" in said and "world-digits: kept" in said


def test_every_code_that_a_document_names_is_recorded_beside_the_run(copied):
    loaded = store.load(copied[0])
    for result in loaded.results:
        run, provenance = copied[0] / "runs" / result.run, result.provenance
        own = f"kbench.similarity.variants.{result.variant.replace('-', '_')}"
        for name in (provenance.training_code, provenance.features_code, provenance.task_code):
            assert own in code.read(run, name).modules
        assert f"kbench.tasks.{result.task}" in code.read(run, provenance.task_code).modules


def test_a_checkpoint_of_other_code_is_not_resumed(tmp_path):
    then, now = (
        code.Code({"kbench.seeds": digest, "kbench.files": "same"}) for digest in ("old", "new")
    )
    Checkpoints(tmp_path, {}, then).save(3, {"step": 3})
    assert Checkpoints(tmp_path, {}, then).latest()["step"] == 3
    with pytest.raises(
        files.UserError, match=r"written by other code: kbench\.seeds changed since"
    ):
        Checkpoints(tmp_path, {}, now).latest()


def test_a_run_that_goes_on_from_a_checkpoint_without_a_code_names_none(tmp_path):
    Checkpoints(tmp_path, {}).save(3, {"step": 3})
    checkpoints = Checkpoints(tmp_path, {}, code.Code({"kbench.seeds": "new"}))
    assert checkpoints.latest()["step"] == 3 and checkpoints.code is None


SCRIPT = """
import sys, torch
from pathlib import Path
from kbench.corpus import manifest
from kbench.evaluate.run import TrainedRun, datasets, read_evaluation
from kbench.locations import Locations

stage, run, evaluation, world = sys.argv[1], TrainedRun(Path(sys.argv[2])), Path(sys.argv[3]), Path(sys.argv[4])
name, section = read_evaluation(evaluation)
where = Locations(world=world)
if stage == "training":
    from kbench.pretrain.loop import pretrain
    pretrain(run.config, run.folder, manifest.read(evaluation.parent / "corpus.json"), where, "cpu", 0)
elif stage == "features":
    from kbench.evaluate.features import Encoder
    Encoder(run, section, "cpu").extract(datasets(section)[0], where)
else:
    from kbench import tasks
    from kbench.evaluate.store import Reader
    dataset = next(d for d in datasets(section) if stage in tasks.of(d, section.tasks))
    with torch.inference_mode():
        tasks.get(stage).score(run, Reader(run.features(dataset.name)), section, device="cpu")
print(*sorted(sys.modules), sep="\\n")
"""
READERS = (
    *("kbench.corpus", "kbench.world_family", "kbench.seeds"),
    *("kbench.towers.config", "kbench.pretrain.metrics"),
)
"""Imported to read a configuration, whose values are in its hash; scores of stored features use
none of it.
"""

ALSO_IMPORTED = {
    # Kinds of corpus and tasks that there are, and the rule of selection that looks at an
    # evaluation set.
    "training": (
        *("kbench.corpus.kinds.", "kbench.pretrain.test_column", "kbench.datasets"),
        *("kbench.evaluate", "kbench.measures", "kbench.tasks"),
    ),
    "features": ("kbench.corpus", "kbench.measures", "kbench.tasks"),
}


SLOW_TO_IMPORT = {"torch._dynamo", "transformers", "pandas", "snakemake"}
"""What takes a second or more, and what no stage needs."""


@pytest.mark.whole
@pytest.mark.parametrize(
    "stage", ["training", "features", "zeroshot", "linear_probe", "retrieval", "pmi_gap"]
)
def test_what_python_really_imports_for_a_stage_is_in_its_identity(
    copied, trained, tiny_world, stage
):
    _, run, evaluation = copied
    removed = {"training": "model.json", "features": "features/world-shape"}.get(stage)
    if removed:
        (run / removed).unlink() if removed.endswith("json") else shutil.rmtree(run / removed)
        shutil.rmtree(run / "checkpoints", ignore_errors=True)
    words = [sys.executable, "-c", SCRIPT, stage, str(run), str(evaluation), str(tiny_world)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert not SLOW_TO_IMPORT.intersection(done.stdout.split())
    from kbench.evaluate.run import read_evaluation

    of, config, (_, section) = Stages(), trained[1].config, read_evaluation(evaluation)
    if stage == "training":
        known = of.training(config)
    else:
        known = (
            of.features(config, section) if stage == "features" else of.task(config, section, stage)
        )
    ignored = ("kbench.commands", *DECIDES_NOTHING)
    imported = [name for name in done.stdout.split() if name.startswith("kbench.")]
    missed = [
        name for name in imported if name not in known.modules and not name.startswith(ignored)
    ]
    # Which tasks a dataset is scored by is asked of all of them.
    others = (
        "kbench.measures.accuracy",
        *(f"kbench.tasks.{name}" for name in tasks.names() if name != stage),
    )
    allowed = (*ALSO_IMPORTED.get(stage, READERS), *others)
    assert [name for name in missed if not name.startswith(allowed)] == []
    assert len(set(imported) & set(known.modules)) > 15
