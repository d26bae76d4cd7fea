"""No module reads what can run: a new pickle, eval, exec, shell or unsafe YAML fails here."""

import ast

import pytest
from tiny import ROOT

MODULES = sorted([*(ROOT / "kbench").rglob("*.py"), *(ROOT / "examples").glob("*.py")])
IMPORTS = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
CALLS = {
    "eval", "exec", "compile", "os.system", "os.popen", "yaml.load", "yaml.load_all", "yaml.unsafe_load",
    "yaml.full_load", "torch.jit.load", "np.fromfile", "pandas.read_pickle", "subprocess.getoutput",
}  # fmt: skip


def name(node: ast.AST) -> str:
    """Return 'a.b.c' of a chain of attributes."""
    if isinstance(node, ast.Attribute):
        return f"{name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def dangerous(source: str) -> list[str]:
    """Return what a module must not do, with its line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name.split(".")[0] for alias in node.names} | {
                getattr(node, "module", None)
            }
            harmless = isinstance(node, ast.ImportFrom) and all(
                alias.name.endswith("Error") for alias in node.names
            )
            found += (
                []
                if harmless
                else [f"{node.lineno}: import {module}" for module in names & IMPORTS]
            )
        if isinstance(node, ast.Call):
            called, given = name(node.func), {word.arg: word.value for word in node.keywords}
            value = {key: getattr(word, "value", None) for key, word in given.items()}
            bad = called in CALLS or value.get("shell") is True or value.get("allow_pickle") is True
            bad |= called == "torch.load" and value.get("weights_only") is not True
            bad |= (
                called == "np.load"
                and value.get("allow_pickle") is not False
                and "mmap_mode" not in value
            )
            found += [f"{node.lineno}: {called}"] if bad else []
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_executes_what_it_reads(path):
    assert dangerous(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from pickle import loads", "eval(x)", "exec(x)", "import os\nos.system(x)", "yaml.load(x)",
        "subprocess.run(x, shell=True)", "torch.load(x)", "torch.load(x, weights_only=False)", "np.load(x)",
        "np.load(x, allow_pickle=True)",
    ],
)  # fmt: skip
def test_each_of_these_is_noticed(source):
    assert dangerous(source)
