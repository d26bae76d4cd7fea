"""`kbench conform` on tasks, datasets and files that lie anywhere; each check can fail, and says
why.
"""

import shutil

import pytest
from tiny import ROOT

from kbench import tasks
from kbench.conformance import components
from kbench.conformance import dataset as of_datasets
from kbench.conformance import task as of_tasks
from kbench.datasets import dataset as known_datasets


@pytest.mark.whole
@pytest.mark.parametrize("name", tasks.names())
@pytest.mark.parametrize("check", of_tasks.CHECKS, ids=lambda check: check.__name__)
def test_every_task_conforms(check, name):
    assert check(name) is None


@pytest.mark.parametrize("name", known_datasets.names())
@pytest.mark.parametrize("check", of_datasets.CHECKS, ids=lambda check: check.__name__)
def test_every_dataset_conforms(check, name, monkeypatch):
    monkeypatch.delenv("KBENCH_DATA", raising=False)
    assert check(name) is None


TASK = """
{top}
import numpy as np

from kbench.tasks.base import Measure, Outcome, Task


class Faulty(Task):
    name = "faulty"
    title = {title!r}
    kinds = ("classification",)
    metrics = (
        Measure(
            "acc1",
            "top-1 accuracy",
            chance=lambda dataset: {chance},
            samples=lambda kept: kept["right"],
            needs=frozenset({{"right"}}),
        ),
    )
    obeys = {obeys!r}

    def score(self, run, features, evaluation, *, device):
        targets = np.asarray(features.array("test/targets"))
        right = (targets == 0).astype(float)
        {body}
        return Outcome(len(targets), {{"acc1": value}}, arrays={{"right": right}})
"""
FINE = {
    "top": "",
    "title": "faulty",
    "chance": "1 / dataset.n_classes",
    "obeys": ("random_features",),
    "body": "value = right.mean()",
}
WRITES = """features.array("test/targets")
        path = features.folder / "test" / "targets.npy"
        path.write_bytes(path.read_bytes()[::-1])
        value = right.mean()"""
FAULTS = {
    "describes itself": ({"title": ""}, "`title` has to be one line of text; it is ''"),
    "obeys settings that there are": (
        {"obeys": ("random_features.size",)},
        "and there is no 'size' in it",
    ),
    "is declared without torch": ({"top": "import torch"}, "its file imports torch"),
    "finds what it declares": (
        {"body": "value = 100 * right.mean()"},
        "fraction lie between 0 and 1",
    ),
    "finds the same twice": (
        {"body": "value = float(np.random.default_rng().random())"},
        "it finds {'acc1': 0.",
    ),
    "keeps samples whose mean is the metric": (
        {"body": "value = right.mean() / 2"},
        "the scores behind acc1 have the",
    ),
    "guesses at chance": (
        {"chance": "0.5"},
        "guessing is said to score 0.5000, with a standard deviation of 0.0289",
    ),
    "leaves features as they are": ({"body": WRITES}, "it writes to the features test/targets"),
}


def test_each_check_of_tasks_has_a_fault_that_it_must_find():
    assert set(FAULTS) == {check.__name__.replace("_", " ") for check in of_tasks.CHECKS}


@pytest.mark.parametrize("check", FAULTS)
def test_a_task_with_a_fault_fails_the_check_with_a_figure_and_status_1(kbench, tmp_path, check):
    fault, sentence = FAULTS[check]
    (tmp_path / "faulty.py").write_text(TASK.format(**(FINE | fault)))
    done = kbench("conform", "faulty.py", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    failed = [line for line in done.stdout.splitlines() if line.startswith(f"FAILS  {check}: ")]
    assert len(failed) == 1 and sentence in failed[0], done.stdout


def test_the_same_task_without_a_fault_conforms(kbench, tmp_path):
    (tmp_path / "faulty.py").write_text(TASK.format(**FINE))
    done = kbench("conform", "faulty.py", cwd=tmp_path)
    assert done.returncode == 0 and "task faulty: 8 of 8 hold" in done.stdout, done.stdout


ENTRY = """kind: classification
location: data
folder: own
source: {source}
n_classes: {classes}
main_metric: {metric}
stand_in: {stand_in}
url: https://example.org/own
"""
GOOD = {"source": "here", "classes": 6, "metric": "acc1", "stand_in": "world-shape"}
WRONG = {
    "describes itself": ({"source": "''"}, "`source` has to be one line of text"),
    "is scored by a task that has its main metric": (
        {"metric": "acc7"},
        "unknown main_metric of dataset 'own' 'acc7'",
    ),
    "has a chance level below one": (
        {"metric": "acc5", "classes": 3},
        "guessing scores 1 in its main metric",
    ),
    "has a stand in of its kind": (
        {"stand_in": "world-pairs"},
        "unknown main_metric of dataset 'own' 'acc1'",
    ),
    "is as described where it is": ({}, "test/nshards.txt"),
}


def test_each_check_of_datasets_has_a_fault_that_it_must_find():
    assert set(WRONG) == {check.__name__.replace("_", " ") for check in of_datasets.CHECKS}


@pytest.mark.parametrize("check", WRONG)
def test_a_dataset_with_a_fault_fails_the_check(kbench, tmp_path, check):
    fault, sentence = WRONG[check]
    text = ENTRY.format(**(GOOD | fault))
    (tmp_path / "own.yaml").write_text(text)
    environment = {}
    if check == "is as described where it is":
        (tmp_path / "data" / "own").mkdir(parents=True)
        environment = {"KBENCH_DATA": str(tmp_path / "data")}
    done = kbench("conform", "own.yaml", cwd=tmp_path, **environment)
    assert done.returncode == 1, done.stdout + done.stderr
    failed = [line for line in done.stdout.splitlines() if line.startswith(f"FAILS  {check}: ")]
    assert len(failed) == 1, done.stdout
    assert sentence in failed[0]


def test_a_dataset_without_a_fault_conforms(kbench, tmp_path):
    (tmp_path / "own.yaml").write_text(ENTRY.format(**GOOD))
    done = kbench("conform", "own.yaml", cwd=tmp_path)
    assert done.returncode == 0 and "dataset own: 5 of 5 hold" in done.stdout, done.stdout


@pytest.mark.parametrize(
    "file, held",
    [
        ("wpse_laplace.py", "variant wpse-laplace: 9 of 9 hold"),
        ("decoupled.py", "objective decoupled: 8 of 8 hold"),
        ("calibration.py", "task calibration: 8 of 8 hold"),
        ("own-digits.yaml", "dataset own-digits: 5 of 5 hold"),
    ],
)
def test_the_examples_conform_wherever_their_files_lie(kbench, tmp_path, file, held):
    shutil.copy(ROOT / "examples" / file, tmp_path)
    done = kbench("conform", tmp_path / file, cwd=tmp_path)
    assert done.returncode == 0 and held in done.stdout, done.stdout + done.stderr


def test_a_file_without_a_component_or_with_a_taken_name_is_refused(kbench, refused, tmp_path):
    (tmp_path / "astray.py").write_text("x = 1\n")
    refused(
        kbench("conform", tmp_path / "astray.py"),
        "defines no component: a class with a `name`, derived from one",
    )
    (tmp_path / "broken.py").write_text("import absent_package\n")
    refused(kbench("conform", tmp_path / "broken.py"), "cannot be loaded: ModuleNotFoundError")
    shutil.copy(ROOT / "kbench" / "tasks" / "zeroshot.py", tmp_path)
    refused(
        kbench("conform", tmp_path / "zeroshot.py"), "has the name of a task that is there already"
    )


def test_every_kind_of_component_can_be_checked():
    assert [kind.what for kind in components.KINDS] == ["variant", "objective", "task", "dataset"]
