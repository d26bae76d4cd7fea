"""One Python file as an identity sees it: a hash of what it does, and what it may import."""

import ast
import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kbench.errors import UserError

DIGITS = 12
"""Hexadecimal digits of a module's hash."""

CHOOSING = ("create", "get")
"""Functions of a package of components that take a component's name first."""


@dataclass(frozen=True)
class ModuleSource:
    """What a file does.

    hash: of its syntax tree without comments, docstrings and the descriptions of fields, so that
    none of these and no formatting matters. imports: dotted names that it may import, anywhere in
    it. chosen: (dotted name of a package, component) for every component that the code itself
    names, as in `objective.create("infonce")`.
    """

    hash: str
    imports: frozenset[str]
    chosen: frozenset[tuple[str, str]]


def read(path: Path, module: str) -> ModuleSource:
    """Read a file, once for as long as it does not change; UserError if it is no Python.

    module: the dotted name it is imported by; that of a package for an `__init__.py`.
    """
    try:
        seen = path.stat()
        return _read(path, module, seen.st_mtime_ns, seen.st_size)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


@functools.cache
def _read(path: Path, module: str, modified: int, size: int) -> ModuleSource:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{path} is not Python: {error}") from error
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    digest = hashlib.sha256(repr(_plain(tree)).encode()).hexdigest()[:DIGITS]
    imports = list(_imports(tree, package))
    names = frozenset(name for _, name in imports)
    return ModuleSource(digest, names, frozenset(_chosen(tree, dict(imports))))


def _plain(node: Any) -> Any:
    """Return nested tuples of what a syntax tree says, without positions and what only readers
    see.
    """
    if isinstance(node, list):
        return tuple(_plain(child) for child in node if not _for_readers(child))
    if not isinstance(node, ast.AST):
        return node
    # Empty fields are left out, so that a version of Python that adds one hashes the same.
    fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
    return type(node).__name__, *((name, _plain(value)) for name, value in fields)


def _for_readers(node: Any) -> bool:
    """Return whether a node is a docstring, or a description as pydantic's fields have them."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return isinstance(node, ast.keyword) and node.arg == "description"


def _imports(tree: ast.Module, package: str) -> Iterator[tuple[str, str]]:
    """Yield (local name, dotted name) of every import; which of them are modules is found out
    later.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.asname or alias.name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = (
                package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            )
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield f"from {origin}", origin
            yield from (
                (alias.asname or alias.name, f"{origin}.{alias.name}") for alias in node.names
            )


def _chosen(tree: ast.Module, aliases: dict[str, str]) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if (
            not isinstance(node, ast.Call)
            or not node.args
            or not isinstance(node.func, ast.Attribute)
        ):
            continue
        first, of = node.args[0], node.func.value
        literal = isinstance(first, ast.Constant) and isinstance(first.value, str)
        if literal and node.func.attr in CHOOSING and isinstance(of, ast.Name) and of.id in aliases:
            yield aliases[of.id], first.value
