"""Building a SIF: whole under its final name or not there at all, whatever happens to Apptainer or
to us meanwhile.
"""

import os
import signal
import subprocess
import sys
import time

import pytest

from kbench.container import apptainer
from kbench.errors import UserError

HALF = (
    '#!/bin/sh\nfor word; do case $word in *.part) out=$word;; esac; done\nprintf half > "$out"\n'
)
"""A stand-in for Apptainer that has written half of a file, and goes on as a test says."""

FULL = "FATAL:   while creating: write: no space left on device"

ENDS = {
    "full": (f"echo '{FULL}' >&2; exit 255", r"disk is full.*APPTAINER_TMPDIR"),
    "fails": (
        "printf 'INFO: Starting\\nFATAL:   no such image\\n' >&2; exit 255",
        "not written: no such image$",
    ),
    "killed": ("kill -9 $$", "Apptainer was ended"),
}


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A function that puts the stand-in on the PATH."""

    def install(rest: str) -> None:
        (tmp_path / "bin").mkdir()
        path = tmp_path / "bin" / "apptainer"
        path.write_text(HALF + rest + "\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")

    return install


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("before", [None, "an earlier image"])
def test_no_half_written_image(program, tmp_path, end, before):
    sif = tmp_path / "images" / "kbench.sif"
    sif.parent.mkdir()
    if before:
        sif.write_text(before)
    rest, message = ENDS[end]
    program(rest)
    with pytest.raises(UserError, match=message):
        apptainer.convert("kbench:test", sif)
    assert [path.read_text() for path in sif.parent.iterdir()] == ([before] if before else [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_build_that_is_ended_takes_apptainer_along(program, tmp_path, number):
    program(f"echo $$ > '{tmp_path}/pid'; exec sleep 60")
    ours = f"""
import signal, sys
from pathlib import Path
from kbench.commands import container_build
from kbench.container import apptainer
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by whatever a shell starts in the background
container_build.end_tidily()
apptainer.convert("kbench:test", Path({str(tmp_path / "images" / "kbench.sif")!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", ours])
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(timeout=20) != 0
    assert not list((tmp_path / "images").iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of ten megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", folder], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no small file system can be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
@pytest.mark.skipif(apptainer.program() is None, reason="no apptainer on the PATH")
def test_a_disk_that_is_really_full(tmp_path, small_disk):
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "noise").write_bytes(os.urandom(30_000_000))
    with pytest.raises(UserError, match=r"kbench\.sif was not written: .*disk is full"):
        apptainer._build(small_disk / "kbench.sif", str(tmp_path / "box"))
    assert not list(small_disk.iterdir())
