"""Results of code that differs: what may differ, what is refused, what mends it."""

import shutil

import pytest
from synthetic import DATASETS, change, run_name, write_experiment
from tiny import ROOT

from kbench.errors import UserError
from kbench.experiment.schema import Evaluation, RunConfig
from kbench.identity.stages import Stages
from kbench.report import content
from kbench.report.analysis import Analysis
from kbench.results import store, table
from kbench.towers import config as towers

OLD, NEW = "wpse-linear", "wpse-laplace"
EVALUATION = Evaluation(datasets=DATASETS)


@pytest.fixture
def package(tmp_path):
    """A copy of the package, with one more variant: README's example."""
    folder = tmp_path / "kbench"
    shutil.copytree(ROOT / "kbench", folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "examples" / "wpse_laplace.py", folder / "similarity" / "variants")
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_experiment(tmp_path / "made-up", {OLD: 2.0, NEW: 1.0}, n_test=40)


def made_by(folder, package, similarity, stages=("training", "features", "task"), seeds=(0, 1)):
    """Let a variant's documents say that the code of a package made them."""
    config = RunConfig.model_validate(
        {
            "variant": similarity,
            "similarity": similarity,
            "similarity_settings": {"estimator": "rff"},
            "objective": "infonce",
            "seed": 0,
            "corpus": {"kind": "world"},
            "towers": towers.load("demo").model_dump(),
            "training": {"batch_size": 32, "epochs": 1, "warmup_epochs": 0.25},
        }
    )
    of = Stages(package)
    for run in (folder / "runs" / run_name(similarity, seed) for seed in seeds):
        if "training" in stages:
            change(run / "model.json", training_code=of.training(config).write(run))
        for path in run.glob("evaluation/*/*.json"):
            codes = {
                "features": of.features(config, EVALUATION),
                "task": of.task(config, EVALUATION, path.stem),
            }
            change(
                path,
                **{
                    f"{name}_code": code.write(run)
                    for name, code in codes.items()
                    if name in stages
                },
            )


def edit(package, path, old, new):
    text = (package / path).read_text()
    assert old in text
    (package / path).write_text(text.replace(old, new, 1))


def test_a_variant_added_to_a_finished_experiment_is_compared_with_the_others(folder, package):
    made_by(folder, ROOT / "kbench", OLD)
    edit(package, "similarity/base.py", "What a similarity is", "What every similarity is")
    edit(package, "report/footnotes.py", "No settings", "No setting at all")
    made_by(folder, package, NEW)
    loaded = store.load(folder)
    codes = {result.provenance.task_code for result in loaded.results}
    assert len(codes) > 2 and loaded.mixture_notes == []


@pytest.mark.parametrize(
    "stage, path, old, new, module, done",
    [
        (
            "training",
            "pretrain/optimizer.py",
            "import",
            "import math, ",
            "kbench.pretrain.optimizer",
            "model.json",
        ),
        ("features", "seeds.py", ">> 1", ">> 2", "kbench.seeds", "encoded.json"),
        (
            "task",
            "measures/accuracy.py",
            "def ",
            "X = 1\n\n\ndef ",
            "kbench.measures.accuracy",
            "evaluated.json",
        ),
    ],
)
def test_shared_code_that_differs_is_named_with_the_fewest_jobs_that_mend_it(
    folder, package, stage, path, old, new, module, done
):
    made_by(folder, ROOT / "kbench", OLD)
    made_by(folder, package, NEW)
    text = (package / path).read_text()
    position = text.index(old, text.index('"""', 3))
    (package / path).write_text(text[:position] + new + text[position + len(old) :])
    made_by(folder, package, NEW, stages=(stage,), seeds=(1,))
    with pytest.raises(UserError) as caught:
        store.load(folder)
    message = str(caught.value)
    assert module in message and f"the {stage} of" in message and "--allow-mixed-code" in message
    stale = run_name(NEW, 1)
    assert f"runs/{stale}/{done}" in message.split("--forcerun")[1]
    assert ("rm -r" in message) == (stage == "training")
    assert f"{run_name(OLD, 0)}/{done}" not in message


def test_mixed_code_is_compared_only_when_asked_for_and_then_named_under_every_table(
    folder, package
):
    made_by(folder, ROOT / "kbench", OLD)
    edit(package, "similarity/base.py", "1 << 25", "1 << 24")
    made_by(folder, package, NEW)
    loaded = store.load(folder, mixed_code=True)
    report = content.build(Analysis(loaded, table.frame(loaded)), figures=False)
    shown = [t for s in report.sections for t in s.tables if t.id.startswith(("scores-", "pairs-"))]
    assert shown and all("kbench.similarity.base" in shown_table.notes[-1] for shown_table in shown)
    assert any("kbench.similarity.base" in warning for warning in report.warnings)


def test_mixed_code_on_the_command_line(folder, package, kbench, refused):
    made_by(folder, ROOT / "kbench", OLD)
    edit(package, "similarity/base.py", "1 << 25", "1 << 24")
    made_by(folder, package, NEW)
    refused(kbench("compare", folder), "kbench.similarity.base", "--allow-mixed-code")
    allowed = kbench("compare", folder, "--allow-mixed-code")
    assert allowed.returncode == 0 and "Results of different code are mixed" in allowed.stdout


def test_results_that_do_not_name_their_modules_mix_with_their_own_version_only(folder, package):
    store.load(folder)
    made_by(folder, package, NEW)
    with pytest.raises(UserError, match=r"cannot be told module by module \(0\.1\.0\+made\.up\)"):
        store.load(folder)


def test_results_of_other_evaluation_settings_are_never_averaged_whatever_else_is_allowed(folder):
    change(
        folder / "runs" / run_name(NEW, 0) / "evaluation/world-shape/zeroshot.json",
        evaluation="feed",
    )
    with pytest.raises(
        UserError, match=r"evaluation settings of world-shape \(zeroshot\) is not recorded in"
    ):
        store.load(folder, mixed_images=True, mixed_code=True)


def test_a_damaged_record_of_code_is_refused(folder, package):
    made_by(folder, ROOT / "kbench", OLD)
    made_by(folder, package, NEW)
    for path in folder.glob("runs/*/code/*.json"):
        path.write_text(
            path.read_text().replace('"kbench.similarity.base": "', '"kbench.similarity.base": "f')
        )
    with pytest.raises(
        UserError, match=r"code/[0-9a-f]{12}\.json does not hold the code that its name says"
    ):
        store.load(folder)
