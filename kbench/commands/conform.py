"""Check a similarity, an objective, an evaluation task or a dataset: does it do all that one must
do?

It is named, or given as a file, wherever that lies. One line a check; status 1 if any fails. Every
similarity carries its formula once more as a plain loop, `reference`, which its scores must agree
with; a task is tried on made-up features; a dataset's folder is read where KBENCH_DATA has it.

With --recipe, results or a bundle of them are checked against a version of a benchmark's rules, one
line a rule: closed where only the similarity differs, open where settings do that may, or not
conforming (status 1).

Examples:
  kbench conform wpse-gaussian
  kbench conform calibration.py
  kbench conform workflow/datasets/own-digits.yaml
  kbench conform results/world --recipe world-v1
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from kbench.errors import unknown
from kbench.results import rules, store

if TYPE_CHECKING:
    from kbench.conformance.components import Kind


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what is checked."""
    parser.add_argument(
        "component",
        metavar="FILE-OR-NAME",
        help="a similarity, an objective, a task or a dataset; with --recipe, results or a bundle",
    )
    parser.add_argument(
        "--recipe",
        metavar="NAME-OR-FILE",
        help=f"rules that results have to keep: {', '.join(rules.names())}, or a file",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what every check found."""
    if arguments.recipe:
        return _results(Path(arguments.component), arguments.recipe)
    from kbench.conformance import components

    if components.is_file(arguments.component):
        with components.in_place(arguments.component) as (kind, name):
            return _report(kind, name)
    kinds = [kind for kind in components.KINDS if arguments.component in kind.names()]
    if not kinds:
        legal = [name for kind in components.KINDS for name in kind.names()]
        raise unknown("similarity, objective, task or dataset", arguments.component, legal)
    return max(_report(kind, arguments.component) for kind in kinds)


def _results(folder: Path, recipe: str) -> int:
    """Print what results make of every rule, and where they belong; 1 if nowhere."""
    kept = rules.read(recipe)
    # What is mixed is an item of its own.
    items = rules.items(store.load(folder, mixed_images=True, mixed_code=True), kept)
    for item in items:
        print(f"{item.division:<16}{item.rule}: {item.seen}")
    belongs = rules.division(items)
    print(f"{folder}, {kept.title}: {belongs}")
    return int(belongs == rules.Division.NONE)


def _report(kind: "Kind", name: str) -> int:
    kind.load(name)
    failed, checks = 0, kind.checks()
    for check in checks:
        try:
            problem = check(name)
        except Exception as error:  # of code from outside, anything can be raised
            problem = f"it raises {type(error).__name__}: {error}"
        failed += problem is not None
        words = check.__name__.replace("_", " ")
        print(f"FAILS  {words}: {problem}" if problem else f"holds  {words}")
    print(f"{kind.what} {name}: {len(checks) - failed} of {len(checks)} hold")
    return int(failed > 0)
