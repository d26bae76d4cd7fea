"""Habits of the code that no linter has a rule for."""

import ast

import pytest
from tiny import ROOT

MODULES = sorted((ROOT / "kbench").rglob("*.py"))
MOST_CLAUSES = 2
"""Of a comprehension, `for` and `if` counted: a product or a choice, not both."""

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def crowded(tree):
    """Return the lines of comprehensions with too many clauses."""
    found = [node for node in ast.walk(tree) if isinstance(node, COMPREHENSIONS)]
    clauses = {node.lineno: sum(1 + len(part.ifs) for part in node.generators) for node in found}
    return [line for line, number in clauses.items() if number > MOST_CLAUSES]


def nameless(tree):
    """Return the lines that call something `found`, which says of anything that it is there."""
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.arg))
    return [
        node.lineno for node in names if getattr(node, "id", getattr(node, "arg", "")) == "found"
    ]


NEED_TORCHVISION = {"open_clip", "open_clip_train", "clip_benchmark", "timm", "torchvision"}
COMPAT = "kbench.towers.compat"


def unprepared(tree):
    """Return the lines that import what needs torchvision before what makes that importable: which
    module a process meets first depends on its command.
    """
    imports = sorted(
        (node.lineno, getattr(node, "module", None) or node.names[0].name)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    )
    prepared = next((line for line, name in imports if name == COMPAT), float("inf"))
    early = [(line, name) for line, name in imports if line < prepared]
    return [line for line, name in early if name.split(".")[0] in NEED_TORCHVISION]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_comprehensions_are_short_and_locals_have_names(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert crowded(tree) == [] and nameless(tree) == []
    assert path.stem == "compat" or unprepared(tree) == []


def test_the_check_can_fail():
    assert crowded(ast.parse("[x for y in z for x in y if x]")) == [1]
    assert crowded(ast.parse("[x for x in y if x]")) == []
    assert unprepared(ast.parse("import timm\nimport kbench.towers.compat")) == [1]
    assert unprepared(ast.parse("import kbench.towers.compat\nfrom timm import x")) == []
    assert sorted(nameless(ast.parse("def f(found): pass\nfound = 1"))) == [1, 2]
