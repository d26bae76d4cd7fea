"""What a job may see, as options of Apptainer; the shell words are tried in a real shell."""

import itertools
import subprocess

import pytest

from kbench.container import isolation
from kbench.errors import UserError


def words(options: str, **variables: str) -> list[str]:
    """Return what a shell makes of the options."""
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {options}"],
        env={"PATH": "/usr/bin:/bin", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split("\0")[:-1]


def test_folders_are_bound_under_both_names_each_once(tmp_path, monkeypatch):
    for name in ("here", "real one"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("real one")
    (tmp_path / "here" / "results").symlink_to("../real one")
    monkeypatch.chdir(tmp_path / "here")
    real, link = tmp_path / "real one", tmp_path / "link"
    assert isolation.folders([link, "../real one", "."]) == [tmp_path / "here", link, real]
    assert isolation.folders(["results"]) == [tmp_path / "here", real]


def test_datasets_that_are_links_come_along(tmp_path):
    for name in ("data/one", "elsewhere/two"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data" / "two").symlink_to(tmp_path / "elsewhere" / "two")
    assert isolation.data(tmp_path / "data") == [tmp_path / "data", tmp_path / "elsewhere" / "two"]
    assert isolation.data(None) == []


def test_a_missing_folder_is_not_skipped(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        isolation.folders([tmp_path / "none"])


@pytest.mark.parametrize("name", ["a:b", "a,b", 'a"b'])
def test_a_folder_whose_name_means_something_to_apptainer_is_refused(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match="cannot be bound"):
        isolation.folders([tmp_path / name])


def test_the_shell_fills_in_what_a_job_has(tmp_path):
    options = isolation.apptainer_shell([tmp_path / "my data"], "abc")
    found = words(options, TMPDIR="/my tmp", OMP_NUM_THREADS="3", CUDA_VISIBLE_DEVICES="0,1")
    pairs = list(itertools.pairwise(found))
    assert ("--bind", str(tmp_path / "my data")) in pairs and ("--bind", "/my tmp") in pairs
    for value in (
        "KBENCH_IMAGE_DIGEST=abc",
        "TMPDIR=/my tmp",
        "OMP_NUM_THREADS=3",
        "CUDA_VISIBLE_DEVICES=0,1",
    ):
        assert ("--env", value) in pairs
    assert {"--contain", "--cleanenv", "--net"} <= set(found) and ("--network", "none") in pairs


def test_an_unset_variable_stays_unset(tmp_path):
    found = words(isolation.apptainer_shell([tmp_path], "abc"), TMPDIR="/t")
    assert not [
        word for word in found if word.startswith(("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"))
    ]


@pytest.mark.parametrize("there", [True, False])
def test_the_gpu_is_asked_for_where_there_is_one(tmp_path, monkeypatch, there):
    driver = tmp_path / "nvidiactl"
    if there:
        driver.touch()
    monkeypatch.setattr(isolation, "GPU", driver)
    assert ("--nv" in words(isolation.apptainer_shell([tmp_path], "abc"), TMPDIR="/t")) is there


def test_a_folder_that_is_made_before_the_job_may_be_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    later = tmp_path.parent / "made later"
    assert isolation.folders([], made=[later]) == [tmp_path, later]
    with pytest.raises(UserError, match="does not exist"):
        isolation.folders([later])


def test_one_of_several_tasks_has_the_network_and_knows_the_others(tmp_path, monkeypatch):
    step = {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_JOB_NODELIST": "a[1-2]"}
    for name in isolation.STEP:
        monkeypatch.delenv(name, raising=False)
    assert not isolation.one_of_several() and not step.keys() & isolation.environment("abc").keys()
    for name, value in step.items():
        monkeypatch.setenv(name, value)
    assert isolation.one_of_several() and step.items() <= isolation.environment("abc").items()
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert not isolation.one_of_several() and not step.keys() & isolation.environment("abc").keys()
    assert "none" in isolation.apptainer([tmp_path])
    assert not {"--net", "none"} & set(isolation.apptainer([tmp_path], connected=True))
