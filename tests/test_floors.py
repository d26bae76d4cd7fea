"""The drawing in docs/architecture.md is true: every package is on it, and imports go down only."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def floors(text: str) -> dict[str, int]:
    """Return each name of the drawing with its height; names of a line and its remark are two
    spaces apart or more.
    """
    lines = re.search(r"```floors\n(.*?)```", text, re.DOTALL)[1].splitlines()
    heights = {}
    for height, line in enumerate(reversed(lines)):
        for name in re.split(r"\s{3,}", line)[0].split():
            assert name not in heights, f"{name} is drawn twice"
            heights[name] = height
    return heights


def imported(node: ast.AST) -> Iterator[str]:
    """Yield the modules that code imports when it runs, those of annotations left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        yield from imported(child)


def wrong_ways(heights: dict[str, int], sources: dict[str, str]) -> list[str]:
    """Return imports that do not go down, of sources by the top-level name they belong to."""
    found = []
    for package, source in sources.items():
        for module in imported(ast.parse(source)):
            parts = module.split(".")
            other = parts[1] if parts[0] == "kbench" and len(parts) > 1 else None
            if other in heights and other != package and heights[other] >= heights[package]:
                found.append(f"{package} imports {module}")
    return found


@pytest.fixture(scope="module")
def drawn() -> dict[str, int]:
    return floors((ROOT / "docs" / "architecture.md").read_text())


def _files() -> Iterator[tuple[str, Path]]:
    package = ROOT / "kbench"
    for path in package.rglob("*.py"):
        name = path.relative_to(package).parts[0].removesuffix(".py")
        if name != "__init__":
            yield name, path


def test_every_package_is_drawn_and_nothing_else(drawn):
    assert set(drawn) == {name for name, _ in _files()}


def test_imports_go_down_only(drawn):
    assert [w for name, path in _files() for w in wrong_ways(drawn, {name: path.read_text()})] == []


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("from kbench.files import read_json", 0),
        ("from kbench.report import render", 1),
        ("def f():\n    from kbench.evaluate import store", 1),
        ("from kbench import report", 1),
        ("if TYPE_CHECKING:\n    from kbench.report import render", 0),
        ("import kbench.experiment.load", 1),
        ("from kbench.tasks import base", 0),
    ],
)
def test_an_import_that_goes_up_or_sideways_is_seen(drawn, source, wrong):
    assert len(wrong_ways(drawn, {"tasks": source})) == wrong
