"""Version, changelog and citation agree."""

import re
import tomllib

import yaml
from tiny import ROOT

import kbench


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == citation["version"] == kbench.__version__
    headings = [
        line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")
    ]
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


def test_the_lock_has_the_pinned_versions_and_a_hash_for_each_package():
    """torch's build, and CUDA's libraries with it, depend on where pip looks; they are pinned by
    version only.
    """
    pinned, locked = (
        {name(pin): pin.split("==")[1] for pin in pins(file)}
        for file in ("constraints.txt", "requirements.lock")
    )
    by_version_only = [
        package for package in pinned.keys() - locked.keys() if not CUDA.match(package)
    ]
    assert by_version_only == ["torch"]
    assert locked.items() <= pinned.items()
    blocks = (ROOT / "requirements.lock").read_text().replace("\\\n", " ").splitlines()[1:]
    assert blocks and all(line.count("--hash=sha256:") >= 1 for line in blocks)


CUDA = re.compile("cuda-|nvidia-|triton$")


def pins(file):
    return re.findall(r"^[\w.-]+==[\w.]+", (ROOT / file).read_text(), re.MULTILINE)


def name(pin):
    return re.sub("[-_.]+", "-", pin.split("==")[0]).lower()
