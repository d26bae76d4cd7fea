"""What the listings of components share: where each comes from, and what is wrong with one that
cannot be used.
"""

from collections.abc import Callable, Iterator

from kbench.errors import UserError
from kbench.plugins import OWN, Family


def or_problem(name: str, lines: Callable[[str], list[str]]) -> list[str]:
    """Return the lines about a component, or one that says why it cannot be loaded."""
    try:
        return lines(name)
    except UserError as error:
        return [f"{name:<24} cannot be loaded: {error.__cause__ or error}"]


def origin(family: Family, name: str) -> list[str]:
    """Return the line that says where a component comes from, none for kbench's own."""
    where = family.found()[name].origin
    return [] if where == OWN else [f"    from: {where}"]


def terms(component: type) -> Iterator[str]:
    """Yield the lines that say what a similarity or an objective needs, and under which licence the
    code of its source is, of which kbench has none.
    """
    if needed := component.needs():
        yield f"    needs: {needed}"
    # A class that builds on another has a source of its own.
    if licence := vars(component).get("licence"):
        yield f"    code of the source: {licence}"


def formulas(family: Family) -> Iterator[str]:
    """Yield a line for each component: its name and formula, and where it comes from if that is not
    kbench.
    """

    def lines(name: str) -> list[str]:
        return [f"{name:<22} {family.load(name).formula}", *origin(family, name)]

    for name in family.names():
        yield from or_problem(name, lines)


def legal(schema: dict) -> str:
    """Return what a number or word may be by its JSON schema; empty where there are no bounds."""
    if "enum" in schema or "const" in schema:
        return "one of " + ", ".join(schema.get("enum", [schema.get("const")]))
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    return " and ".join(f"{sign} {schema[key]:g}" for key, sign in bounds.items() if key in schema)
