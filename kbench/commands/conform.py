"""Check a similarity or an objective: does it do all that one must do? One line a check; status 1 if any fails.

It is named, or given as a file: of kbench, or of workflow/variants or workflow/objectives of the working folder. Every
similarity carries its formula once more as a plain loop, `reference`, which its scores must agree with.

Examples:
  kbench conform wpse-gaussian
  kbench conform workflow/variants/my_variant.py
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from kbench.errors import UserError, unknown

if TYPE_CHECKING:
    from kbench.conformance import Check


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what is checked."""
    parser.add_argument("component", metavar="FILE-OR-NAME", help="a similarity or an objective")


def run(arguments: argparse.Namespace) -> int:
    """Print what every check found."""
    from kbench import objective, similarity
    from kbench.conformance import objective as of_objectives
    from kbench.conformance import similarity as of_similarities

    name = _name(arguments.component)
    suites = ((similarity.FAMILY, of_similarities.CHECKS), (objective.FAMILY, of_objectives.CHECKS))
    for family, checks in suites:
        if name in family.names():
            family.load(name)
            return _report(name, family.what, checks)
    raise unknown("similarity or objective", name, [n for family, _ in suites for n in family.names()])


def _name(given: str) -> str:
    if not given.endswith(".py"):
        return given
    path = Path(given)
    if not path.is_file():
        raise UserError(f"no such file: {given}")
    from kbench import objective, similarity

    for family in (similarity.FAMILY, objective.FAMILY):
        package = Path(family.package.__file__).parent
        folders = {package.resolve(), (family.folder or package).resolve()}
        if path.resolve().parent in folders:
            return path.stem.replace("_", "-")
    raise UserError(
        f"{given} is not where components are found: put it into workflow/variants or workflow/objectives of the "
        "working folder"
    )


def _report(name: str, what: str, checks: "tuple[Check, ...]") -> int:
    failed = 0
    for check in checks:
        try:
            problem = check(name)
        except Exception as error:  # of code from outside, anything can be raised
            problem = f"it raises {type(error).__name__}: {error}"
        failed += problem is not None
        words = check.__name__.replace("_", " ")
        print(f"FAILS  {words}: {problem}" if problem else f"holds  {words}")
    print(f"{what} {name}: {len(checks) - failed} of {len(checks)} hold")
    return int(failed > 0)
