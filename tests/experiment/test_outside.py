"""Components that lie beside the experiment files or in an installed package, and what a broken one
breaks.
"""

import json
import os
import shutil

import pytest
from tiny import EXPERIMENT, ROOT

from kbench.experiment.load import load, resolve
from kbench.identity.stages import Stages

OBJECTIVE = '''
from kbench.objective.infonce import InfoNCE


class Halved(InfoNCE):
    """Half of InfoNCE."""

    name = "halved"
    formula = "1/2 infonce"
    source = "made up"

    def loss(self, logits):
        return super().loss(logits) / 2
'''


@pytest.fixture
def working(tmp_path):
    """A working folder with an experiment of a variant, an objective and towers that kbench does
    not have.
    """
    workflow = tmp_path / "workflow"
    for name in ("variants", "objectives", "towers"):
        (workflow / name).mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "wpse_laplace.py", workflow / "variants")
    (workflow / "objectives" / "halved.py").write_text(OBJECTIVE)
    towers = json.loads((ROOT / "kbench" / "towers" / "configs" / "demo.json").read_text())
    (workflow / "towers" / "small.json").write_text(json.dumps(towers | {"embed_dim": 16}))
    text = EXPERIMENT.replace("towers: demo", "towers: small\nobjective: halved")
    (tmp_path / "own.yaml").write_text(text.replace("[cosine,", "[cosine, wpse-laplace,"))
    (tmp_path / "plain.yaml").write_text(EXPERIMENT)
    return tmp_path


def runs(working, monkeypatch, name):
    monkeypatch.chdir(working)
    return {run.similarity: run for run in resolve(load(name))}


def test_an_experiment_uses_a_variant_an_objective_and_towers_that_lie_beside_it(kbench, working):
    done = kbench("check", "own.yaml", cwd=working)
    assert done.returncode == 0, done.stderr
    assert "wpse-laplace" in done.stdout and "halved" in done.stdout


def test_listings_say_where_a_component_comes_from(kbench, working):
    listed = kbench("variants", "wpse-laplace", cwd=working)
    assert listed.returncode == 0 and "from: workflow/variants/wpse_laplace.py" in listed.stdout
    assert "from: workflow/objectives/halved.py" in kbench("objectives", cwd=working).stdout
    assert "from:" not in kbench("variants", "cosine", cwd=working).stdout


def test_their_files_belong_to_the_identity_of_the_runs_that_use_them_and_of_no_others(
    working, monkeypatch
):
    found = runs(working, monkeypatch, "own.yaml")
    before = {name: Stages().training(run) for name, run in found.items()}
    assert "kbench.objective.halved" in before["cosine"].modules
    assert "kbench.similarity.variants.wpse_laplace" in before["wpse-laplace"].modules
    assert "kbench.similarity.variants.wpse_laplace" not in before["cosine"].modules
    path = working / "workflow" / "variants" / "wpse_laplace.py"
    path.write_text(path.read_text().replace("1.0, gt=0", "2.0, gt=0"))
    after = {name: Stages().training(run) for name, run in found.items()}
    assert [name for name in found if after[name] != before[name]] == ["wpse-laplace"]


def test_a_variant_has_the_same_identity_beside_the_experiment_and_in_the_package(
    working, monkeypatch, tmp_path
):
    run = runs(working, monkeypatch, "own.yaml")["wpse-laplace"].model_copy(
        update={"objective": "infonce"}
    )
    package = tmp_path / "elsewhere" / "kbench"
    shutil.copytree(ROOT / "kbench", package, ignore=shutil.ignore_patterns("__pycache__"))
    beside = Stages().training(run)
    shutil.move(
        working / "workflow" / "variants" / "wpse_laplace.py", package / "similarity" / "variants"
    )
    assert Stages(package).training(run) == beside


def test_a_broken_file_breaks_only_experiments_that_name_it(kbench, refused, working):
    (working / "workflow" / "variants" / "broken.py").write_text("import nothing_of_this_name\n")
    assert kbench("check", "own.yaml", cwd=working).returncode == 0
    listed = kbench("variants", cwd=working)
    assert (
        listed.returncode == 0
        and "cannot be loaded: No module named 'nothing_of_this_name'" in listed.stdout
    )
    (working / "bad.yaml").write_text(EXPERIMENT.replace("[cosine,", "[broken,"))
    refused(
        kbench("check", "bad.yaml", cwd=working),
        "variant 'broken' of workflow/variants/broken.py",
        "cannot be",
    )


def test_a_name_that_kbench_has_is_refused_for_those_who_use_it(kbench, refused, working):
    shutil.copy(
        ROOT / "kbench" / "similarity" / "variants" / "cosine.py", working / "workflow" / "variants"
    )
    refused(
        kbench("check", "own.yaml", cwd=working),
        "workflow/variants/cosine.py",
        "give it another name",
    )
    shutil.copy(
        ROOT / "kbench" / "towers" / "configs" / "demo.json", working / "workflow" / "towers"
    )
    (working / "workflow" / "variants" / "cosine.py").unlink()
    refused(
        kbench("check", "plain.yaml", cwd=working),
        "workflow/towers/demo.json",
        "give it another name",
    )
    assert kbench("check", "own.yaml", cwd=working).returncode == 0


@pytest.mark.whole
def test_an_installed_package_announces_its_own(kbench_alone, working):
    site = working / "site"
    (site / "thirdparty").mkdir(parents=True)
    (site / "thirdparty" / "__init__.py").write_text("")
    shutil.move(
        working / "workflow" / "variants" / "wpse_laplace.py", site / "thirdparty" / "laplace.py"
    )
    described = site / "thirdparty-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(
        "[kbench.variants]\nwpse-laplace = thirdparty.laplace:WpseLaplace\n"
    )
    python_path = os.pathsep.join([str(ROOT), str(site)])
    listed = kbench_alone("variants", "wpse-laplace", cwd=working, PYTHONPATH=python_path)
    assert listed.returncode == 0 and "from: the package thirdparty" in listed.stdout
    assert kbench_alone("check", "own.yaml", cwd=working, PYTHONPATH=python_path).returncode == 0
