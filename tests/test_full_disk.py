"""A full disk is one message that names the file and the room there is, with status 1; what was
there stays.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from kbench import files
from kbench.errors import DiskFull
from kbench.evaluate.store import Writer

MEGABYTES = 3


@pytest.fixture
def small(tmp_path):
    """A file system of a few megabytes; the test is skipped where none can be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(folder)]
    try:
        mounted = (
            subprocess.run(["mount", *options], capture_output=True, check=False).returncode == 0
        )
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def text(path):
    path.write_text("x" * 5_000_000)


def array(path):
    with path.open("wb") as stream:
        np.savez(stream, x=np.random.default_rng(0).random(1_000_000))


def checkpoint(path):
    torch.save({"x": torch.rand(2_000_000)}, path)


def weights(path):
    save_file({"x": torch.rand(2_000_000)}, path)


@pytest.mark.parametrize("write", [text, array, checkpoint, weights])
def test_a_file_that_does_not_fit(small, write):
    (small / "result").write_text("what was there")
    message = r"cannot write .*result: No space left on device \([0-9.]+ MB free there\)"
    with pytest.raises(DiskFull, match=message), files.replacing(small / "result") as temporary:
        write(temporary)
    assert os.listdir(small) == ["result"] and (small / "result").read_text() == "what was there"


def test_a_memory_map_that_does_not_fit_is_refused_before_it_is_written_to(small):
    writer = Writer(small / "features")
    writer.rows("first", 0, 10, np.zeros((10, 8)))
    with pytest.raises(DiskFull, match=r"second\.npy: No space left on device"):
        writer.rows("second", 0, 1_000_000, np.zeros((10, 8)))
    assert DiskFull.status == 1


def test_without_room_claimed_the_same_write_would_end_the_program(small):
    """That is what claiming it is for."""
    program = (
        "import numpy as np, sys; a = np.lib.format.open_memmap(sys.argv[1], 'w+', 'f8', (10**6,));"
        " a[:] = 1"
    )
    process = subprocess.run([sys.executable, "-c", program, small / "x.npy"], check=False)
    assert process.returncode < 0


def test_the_command_says_it_and_ends_with_status_1(small, kbench):
    (small / "fill").write_bytes(b"x" * (MEGABYTES * 2**20 - 300_000))
    process = kbench(
        "world", "make", "--output", small / "world", "--pairs", "200", "--eval-images", "64"
    )
    assert process.returncode == 1, process.stderr
    assert "No space left on device" in process.stderr and "Traceback" not in process.stderr
