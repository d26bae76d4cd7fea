"""Wheels resolved by a real pip from a folder, without an index: recorded, used again, and resolved
anew if changed.
"""

import importlib.metadata
import zipfile

import pytest

from kbench.container import wheelhouse
from kbench.errors import UserError

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def make_wheel(folder, name, version):
    """Write a wheel of an empty package."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(
            f"{name}-{version}.dist-info/METADATA", METADATA.format(name=name, version=version)
        )
        wheel.writestr(f"{name}-{version}.dist-info/WHEEL", WHEEL)
        wheel.writestr(f"{name}-{version}.dist-info/RECORD", "")


@pytest.fixture(autouse=True)
def offered(tmp_path, monkeypatch):
    """A folder that stands for the index: two versions of `little`, three builds of `torch`."""
    folder = tmp_path / "offered"
    for name, version in [("little", "1.5"), ("little", "2.0"), *(("torch", v) for v in BUILDS)]:
        make_wheel(folder, name, version)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def needs_torch(checkout):
    """Let the checkout's package depend on torch too."""
    project = checkout.root / "pyproject.toml"
    project.write_text(project.read_text().replace('"little>=1"', '"little>=1", "torch"'))


BUILDS = ("2.13.0", "2.13.0+cpu", "2.14.0")


@pytest.mark.parametrize(("choice", "version"), [("cpu", "2.13.0+cpu"), ("cuda", "2.13.0")])
def test_the_choice_decides_the_build_of_torch(checkout, tmp_path, choice, version):
    needs_torch(checkout)
    wheels = wheelhouse.resolve(checkout, choice, tmp_path / "wheels")
    assert wheelhouse.packages(wheels) == {"little": "1.5", "torch": version}


def test_wheels_are_used_again_without_an_index(checkout, tmp_path, monkeypatch):
    first = wheelhouse.resolve(checkout, "cpu", tmp_path / "wheels")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    assert wheelhouse.resolve(checkout, "cpu", tmp_path / "wheels") == first


def test_a_changed_wheel_is_resolved_anew(checkout, tmp_path):
    first = wheelhouse.resolve(checkout, "cpu", tmp_path / "wheels")
    (tmp_path / "wheels" / next(iter(first))).write_bytes(b"changed")
    assert wheelhouse.resolve(checkout, "cpu", tmp_path / "wheels") == first


def test_changed_constraints_are_resolved_anew(checkout, tmp_path):
    wheelhouse.resolve(checkout, "cpu", tmp_path / "wheels")
    checkout.constraints.write_text("torch==2.13.0\nlittle==2.0\n")
    assert wheelhouse.packages(wheelhouse.resolve(checkout, "cpu", tmp_path / "wheels")) == {
        "little": "2.0"
    }


def test_a_package_that_is_not_there_is_named(checkout, tmp_path):
    checkout.constraints.write_text("torch==2.13.0\nlittle==9\n")
    with pytest.raises(UserError, match="little") as caught:
        wheelhouse.resolve(checkout, "cpu", tmp_path / "wheels")
    assert "--index" not in str(caught.value)


def test_a_build_of_torch_that_is_not_there_says_where_it_could_be(checkout, tmp_path, offered):
    (offered / "torch-2.13.0+cpu-py3-none-any.whl").unlink()
    needs_torch(checkout)
    with pytest.raises(UserError, match=r"(?s)torch==2\.13\.0\+cpu.*--index URL.*--wheels cuda"):
        wheelhouse.resolve(checkout, "cpu", tmp_path / "wheels")


@pytest.mark.parametrize(
    ("target", "host", "choice"),
    [("cpu", "2.13.0+cpu", "cpu"), ("cpu", "2.13.0", "cuda"), ("cuda", "2.13.0+cpu", "cuda")],
)
def test_the_image_gets_the_hosts_build_of_torch(monkeypatch, target, host, choice):
    monkeypatch.setattr(importlib.metadata, "version", {"torch": host}.get)
    assert wheelhouse.default(target) == choice


def test_a_full_disk_is_named(checkout, tmp_path, monkeypatch):
    script = "import sys; sys.exit('ERROR: Could not install: [Errno 28] No space left on device')"
    (tmp_path / "pip.py").write_text(script)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UserError, match=r"(?s)No space left.*disk is full.*TMPDIR"):
        wheelhouse.resolve(checkout, "cpu", tmp_path / "wheels")
    assert not (tmp_path / "wheels" / wheelhouse.RECORD).exists()


def test_a_base_of_another_python_is_refused(checkout):
    with pytest.raises(UserError, match=r"python:2.7-slim.*has Python 2\.7.*--base"):
        checkout.base()
