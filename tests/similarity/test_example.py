"""A variant in one file: the example is found by its name and does all that a variant must do."""

import inspect
from pathlib import Path

import pytest
import test_conformance

from kbench import similarity
from kbench.cli import main
from kbench.similarity import variants

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "wpse_laplace.py"


@pytest.fixture(autouse=True)
def _installed(monkeypatch):
    monkeypatch.setattr(variants, "__path__", [*variants.__path__, str(EXAMPLE.parent)])


CONFORMANCE = [
    function
    for name, function in vars(test_conformance).items()
    if name.startswith("test_") and list(inspect.signature(function).parameters) == ["name"]
]


def test_it_is_short():
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 40


@pytest.mark.parametrize("check", CONFORMANCE, ids=lambda check: check.__name__)
def test_it_conforms(check):
    assert "wpse-laplace" in similarity.names()
    check("wpse-laplace")


def test_it_is_listed(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["variants", "wpse-laplace"])
    assert stop.value.code == 0 and "length = 1" in capsys.readouterr().out
