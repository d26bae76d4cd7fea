"""The command line as a stranger meets it."""

import subprocess
import sys

import pytest

from kbench import tasks
from kbench.cli import main
from kbench.commands import ALIASES, COMMANDS


def test_no_arguments_lists_every_command(kbench):
    process = kbench()
    assert process.returncode == 0
    for name in COMMANDS:
        assert f"  {name} " in process.stdout


@pytest.mark.parametrize("name", [*COMMANDS, *(name.replace("_", "-") for name in tasks.names())])
def test_help_has_an_example(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([*name.split(), "--help"])
    shown = capsys.readouterr().out
    assert end.value.code == 0 and "Example" in shown and f"kbench {name}" in shown


@pytest.mark.parametrize("old", ALIASES)
def test_a_name_of_before_works_and_says_todays(old, capsys):
    with pytest.raises(SystemExit) as end:
        main([*old.split(), "--help"])
    shown = capsys.readouterr()
    assert end.value.code == 0 and f"usage: kbench {ALIASES[old]} " in shown.out
    assert shown.err == f"kbench: '{old}' is called '{ALIASES[old]}' now\n"


def test_nouns_alone_list_and_are_plural():
    """The grammar that kbench.commands states: what has two words is a noun and a verb, what lists
    is plural.
    """
    groups = {name.split()[0] for name in COMMANDS if " " in name}
    listing = {name for name, summary in COMMANDS.items() if summary.startswith("list ")}
    assert all(name.endswith("s") or name == "published" for name in listing)
    assert groups & listing == {"published"}


def test_a_misspelt_command_names_the_nearest(kbench, refused):
    refused(kbench("pretrian"), "did you mean 'pretrain'")
    refused(kbench("world", "mke"), "did you mean 'world make'")


def test_listing_does_not_import_torch():
    code = (
        "import sys, kbench.cli, kbench.commands.check, kbench.commands.datasets; sys.exit('torch'"
        " in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_world_is_made_and_verified_without_torch(tmp_path):
    """webdataset, which writes and reads its shards, would import it."""
    code = """
import sys
from pathlib import Path
from kbench.corpus.kinds.world import WorldCorpus
from kbench.corpus.manifest import verify
from kbench.locations import Locations
from kbench.world.make import make
from kbench.world.manifest import WorldSettings

folder = Path(sys.argv[1])
make(folder, WorldSettings(seed=3, pairs=64, eval_images=42))
corpus = WorldCorpus(kind="world", seed=3, pairs=64, evaluation_images=42)
assert verify(corpus, Locations(world=folder)).pairs == 64
assert "torch" not in sys.modules
import torch
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "world")], check=True)


def test_a_closed_pipe_is_no_error():
    command = f"set -o pipefail; {sys.executable} -m kbench datasets | head -1"
    process = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert process.returncode == 0 and process.stderr == ""
