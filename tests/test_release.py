"""Version, changelog and citation agree."""

import tomllib

import yaml
from tiny import ROOT

import kbench


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == citation["version"] == kbench.__version__
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]
    newest = headings[1] if headings[0] == "## Unreleased" else headings[0]
    assert newest == f"## {kbench.__version__} ({citation['date-released']})"


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    extras = [name for group in ("test", "dev") for name in project["optional-dependencies"][group]]
    for requirement in project["dependencies"] + extras:
        name = requirement.split("[")[0].split(">")[0].split("=")[0].lower().replace("_", "-")
        assert name in pinned | {"kbench"}, f"{name} is not in constraints.txt"
