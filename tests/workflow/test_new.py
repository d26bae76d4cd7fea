"""`kbench new`: a folder that needs no checkout, from a wheel that is installed elsewhere."""

import os
import subprocess
import sys
import sysconfig
import venv

import pytest
from tiny import ROOT
from tutorials import follow

from kbench import skeleton
from kbench.container.checkout import Checkout
from kbench.experiment import load


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def run(*words, cwd, path, **environment):
    """Run a command that sees the installed kbench alone."""
    cleared = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = {**cleared, "PATH": f"{path}:{os.environ['PATH']}", **environment}
    done = subprocess.run(words, cwd=cwd, env=found, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of the commands of an environment with kbench's wheel; the packages that it needs
    are this one's.
    """
    folder = tmp_path_factory.mktemp("wheel")
    Checkout(ROOT).copy_sources(folder / "sources")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-index", "--no-build-isolation"]
    wheel = [*pip, "wheel", *options, "--wheel-dir", str(folder), str(folder / "sources")]
    subprocess.run(wheel, check=True)
    venv.create(folder / "venv", with_pip=False)
    python = str(folder / "venv" / "bin" / "python")
    (built,) = folder.glob("*.whl")
    subprocess.run([*pip, "--python", python, "install", *options, str(built)], check=True)
    (site,) = folder.glob("venv/lib/python3*/site-packages")
    (site / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    script = f"#!{python}\nfrom snakemake.cli import main\nmain()\n"
    (folder / "venv" / "bin" / "snakemake").write_text(script)
    (folder / "venv" / "bin" / "snakemake").chmod(0o755)
    return folder / "venv" / "bin"


def test_the_folder_holds_the_workflow_of_the_checkout(tmp_path, monkeypatch):
    folder = tmp_path / "my benchmark"
    skeleton.make(folder)
    for name in ("Snakefile", "workflow/rules/report.smk", "profiles/default/config.yaml"):
        assert (folder / name).read_bytes() == (ROOT / name).read_bytes()
    monkeypatch.chdir(folder)
    experiment = load.load("first")
    assert {run.similarity for run in load.resolve(experiment)} == {
        "cosine",
        "wpse-gaussian",
        "wpse-laplace",
    }
    (tmp_path / "plain").mkdir()
    assert folder.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_nothing_that_is_there_is_overwritten(tmp_path, kbench, refused):
    folder = tmp_path / "there"
    folder.mkdir()
    skeleton.make(folder)  # empty
    before = files(folder)
    for taken in (folder, folder / "README.md"):
        refused(kbench("new", taken), "is there already")
    assert files(folder) == before and sorted(tmp_path.iterdir()) == [folder]


@pytest.mark.whole
def test_an_installed_wheel_makes_the_same_folder_and_plans_in_it(installed, tmp_path):
    printed = run("kbench", "new", "mine", cwd=tmp_path, path=installed)
    assert "cd mine" in printed
    skeleton.make(tmp_path / "checkout's")
    assert files(tmp_path / "mine") == files(tmp_path / "checkout's")
    where = "import kbench; print(kbench.__file__)"
    assert str(installed.parent) in run("python", "-c", where, cwd=tmp_path, path=installed)
    checked = run("kbench", "check", "first", cwd=tmp_path / "mine", path=installed)
    assert "6 = 3 variants x 2 seeds" in checked
    planned = ("snakemake", "-n", "--cores", "1", "--config", "experiment=first")
    assert "pretrain" in run(*planned, cwd=tmp_path / "mine", path=installed)


@pytest.mark.whole
def test_the_first_tutorial_is_true_of_an_installed_wheel(installed, tmp_path):
    commands = follow(ROOT / "docs" / "tutorials" / "first-benchmark.md", tmp_path, installed)
    assert sum(command.endswith("smoke=true") for command in commands) == 2
    folder = tmp_path / "my-benchmark" / "results" / "first-smoke"
    assert (folder / "report" / "index.html").is_file()
