"""A task is one file: nothing else in the package knows one by its name."""

import ast
import math
import re

import numpy as np
import pytest
from tiny import ROOT

from kbench import plugins, tasks
from kbench.datasets import dataset as known_datasets
from kbench.errors import UserError

PACKAGE = ROOT / "kbench"

ALSO_KINDS_OF_DATASETS = {"retrieval", "image_caption_selection"}

SETTINGS = ("experiment/schema.py", "experiment/smoke.py")
"""The section of an experiment file that says how features are fitted is called linear_probe: data,
no branch.
"""


def strings(path):
    """Yield every string of a file that is no docstring."""
    tree = ast.parse(path.read_text())
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value


def test_no_other_file_names_a_task():
    names = set(tasks.own()) - ALSO_KINDS_OF_DATASETS
    assert len(names) == 6
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE)
        if (
            place.parts[0] == "bench"
        ):  # measures given tasks beside what CLIP_benchmark and scikit-learn do
            continue
        allowed = {path.stem} if place.parts[0] == "tasks" else set()
        allowed |= {"linear_probe"} if str(place) in SETTINGS else set()
        allowed |= {value for value in names if f"evaluation.{value}" in path.read_text()}
        named = {
            value for value in strings(path) if value in names or re.fullmatch("tasks/(.*)", value)
        }
        assert named <= allowed, f"{place} names {named - allowed}"


def test_a_task_of_ones_own_is_used_only_where_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "workflow" / "tasks").mkdir(parents=True)
    (tmp_path / "workflow" / "tasks" / "calibration.py").write_bytes(
        (ROOT / "examples/calibration.py").read_bytes()
    )
    cifar10 = known_datasets.get("cifar10")
    assert tasks.of(cifar10, None) == ("zeroshot", "linear_probe")
    assert tasks.of(cifar10, ["calibration", "zeroshot", "pmi_gap"]) == ("zeroshot", "calibration")
    assert tasks.FAMILY.found()["calibration"].origin == "workflow/tasks/calibration.py"
    assert (
        tasks.get("calibration").main("acc1") == "ece"
        and tasks.title("calibration") == "calibration"
    )
    with pytest.raises(
        UserError, match="dataset 'cifar10' of kind 'classification' is scored by none of the tasks"
    ):
        tasks.of(cifar10, ["retrieval"])
    with pytest.raises(UserError, match="unknown task 'calibratoin'; did you mean 'calibration'"):
        tasks.chosen(["calibratoin"])


def test_a_broken_task_breaks_only_what_names_it(tmp_path, monkeypatch, kbench, refused):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "workflow" / "tasks").mkdir(parents=True)
    (tmp_path / "workflow" / "tasks" / "broken.py").write_text("import absent_package\n")
    assert tasks.of(known_datasets.get("cifar10"), None) == ("zeroshot", "linear_probe")
    assert "broken" in tasks.names() and "broken" not in tasks.usable()
    with pytest.raises(
        UserError, match=r"task 'broken' of workflow/tasks/broken\.py cannot be loaded"
    ):
        tasks.of(known_datasets.get("cifar10"), ["broken"])
    done = kbench("tasks", cwd=tmp_path)
    assert done.returncode == 0 and "broken" in done.stdout and "cannot be loaded" in done.stdout


def test_results_of_a_task_that_is_not_here_keep_their_names():
    assert tasks.find("absent") is None and tasks.title("absent") == "absent"
    assert (
        tasks.metric_title("absent", "acc1") == "top-1 accuracy"
        and tasks.metric_title("absent", "x_y") == "x_y"
    )
    assert tasks.ordered(["absent", "pmi_gap", "zeroshot"]) == ("zeroshot", "pmi_gap", "absent")


def test_kbenchs_own_tasks_come_in_the_order_of_a_report():
    assert tasks.own() == (
        "zeroshot",
        "multi_label_zeroshot",
        "linear_probe",
        "few_shot_probe",
        "retrieval",
        "image_caption_selection",
        "pmi_gap",
        "implied_classes",
    )
    assert set(tasks.own()) - set(tasks.default()) == {"few_shot_probe", "implied_classes"}
    assert {component.origin for component in tasks.FAMILY.found().values()} == {plugins.OWN}


def calibration(monkeypatch):
    """Return the module of the example."""
    from importlib import util

    spec = util.spec_from_file_location("calibration_example", ROOT / "examples" / "calibration.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_measures_calibration(monkeypatch):
    error = calibration(monkeypatch).calibration_error
    # Of four samples that are all taken for class 0 at 75 %, three are.
    right = np.array([0, 0, 0, 1])
    assert error(np.tile([0.75, 0.25], (4, 1)), right) == pytest.approx(0)
    assert error(np.tile([0.95, 0.05], (4, 1)), right) == pytest.approx(0.2)
    # Two bins: one of confidence 0.6 that is always right, one of 0.9 that never is.
    both = np.array([[0.6, 0.4], [0.9, 0.1]])
    assert error(both, np.array([0, 1])) == pytest.approx((0.4 + 0.9) / 2)
    assert math.isfinite(error(np.array([[1.0, 0.0]]), np.array([0])))


def test_the_example_is_as_short_as_the_guide_says():
    assert len((ROOT / "examples" / "calibration.py").read_text().splitlines()) < 60
