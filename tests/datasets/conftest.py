"""A small dataset of the user's own: an entry and a folder in CLIP_benchmark's webdataset
layout.
"""

from types import SimpleNamespace

import pytest
from layout import ENTRY, write_dataset

from kbench import cli


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Working folder with the entry of dataset 'mine'; returns its folder, data/mine."""
    monkeypatch.chdir(tmp_path)
    entry = tmp_path / "workflow" / "datasets" / "mine.yaml"
    entry.parent.mkdir(parents=True)
    entry.write_text(ENTRY)
    return write_dataset(tmp_path / "data" / "mine")


@pytest.fixture
def command(capsys):
    """Run a kbench command in this process, because importing torch anew takes seconds."""

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        return SimpleNamespace(returncode=end.value.code, stdout=output.out, stderr=output.err)

    return run
