"""The command line as a stranger meets it."""

import subprocess
import sys

import pytest

from kbench.commands import COMMANDS


def test_no_arguments_lists_every_command(kbench):
    process = kbench()
    assert process.returncode == 0
    for name in COMMANDS:
        assert f"  {name} " in process.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example(kbench, name):
    process = kbench(*name.split(), "--help")
    assert process.returncode == 0, process.stderr
    assert "Example" in process.stdout and f"kbench {name}" in process.stdout


def test_a_misspelt_command_names_the_nearest(kbench, refused):
    refused(kbench("pretrian"), "did you mean 'pretrain'")
    refused(kbench("world", "mke"), "did you mean 'world make'")


def test_listing_does_not_import_torch():
    code = "import sys, kbench.cli, kbench.commands.check, kbench.commands.datasets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_closed_pipe_is_no_error():
    command = f"set -o pipefail; {sys.executable} -m kbench datasets | head -1"
    process = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert process.returncode == 0 and process.stderr == ""
