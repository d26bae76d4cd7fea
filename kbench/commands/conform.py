"""Check a similarity, an objective, an evaluation task or a dataset: does it do all that one must
do?

It is named, or given as a file, wherever that lies. One line a check; status 1 if any fails. Every
similarity carries its formula once more as a plain loop, `reference`, which its scores must agree
with; a task is tried on made-up features; a dataset's folder is read where KBENCH_DATA has it.

Examples:
  kbench conform wpse-gaussian
  kbench conform calibration.py
  kbench conform workflow/datasets/own-digits.yaml
"""

import argparse
from typing import TYPE_CHECKING

from kbench.errors import unknown

if TYPE_CHECKING:
    from kbench.conformance.components import Kind


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what is checked."""
    parser.add_argument(
        "component", metavar="FILE-OR-NAME", help="a similarity, an objective, a task or a dataset"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what every check found."""
    from kbench.conformance import components

    if components.is_file(arguments.component):
        with components.in_place(arguments.component) as (kind, name):
            return _report(kind, name)
    kinds = [kind for kind in components.KINDS if arguments.component in kind.names()]
    if not kinds:
        legal = [name for kind in components.KINDS for name in kind.names()]
        raise unknown("similarity, objective, task or dataset", arguments.component, legal)
    return max(_report(kind, arguments.component) for kind in kinds)


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
