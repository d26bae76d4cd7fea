"""What the documents point at is there."""

import re
import subprocess

import pytest
import yaml
from tiny import ROOT

LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#]+)")


def documents(pattern):
    listed = subprocess.run(
        ["git", "ls-files", pattern], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return listed.stdout.split()


@pytest.mark.parametrize("name", documents("*.md"))
def test_links_lead_to_files_that_are_there(name):
    path = ROOT / name
    missing = [link for link in LINK.findall(path.read_text()) if not (path.parent / link).exists()]
    assert not missing, f"{name} links to {missing}"


def test_the_table_of_components_names_folders_that_are_there():
    table = [
        line
        for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines()
        if line.startswith("| ")
    ][1:]
    own = [
        folder
        for line in table
        for folder in re.findall(r"`((?:kbench|workflow/experiments)[\w/]*/)`", line)
    ]
    assert len(own) == len(table)
    assert all((ROOT / folder).is_dir() for folder in own)


def test_the_workflow_file_runs_the_gate():
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["gate"]["steps"]
    assert {"run": ".ci/run"} in steps
