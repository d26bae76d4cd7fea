"""List the evaluation tasks: kinds of dataset, metrics with unit, direction and chance, and where
each comes from.

Each is also a command, which scores it alone: `kbench TASK --run ... --dataset ... --evaluation
...`. An experiment names those it wants in `evaluation.tasks`; without, it is scored by all that
come with kbench and need not be asked for. A file in workflow/tasks of the working folder adds one.

Example:
  kbench tasks
"""

import argparse

from kbench.commands import listing


def configure(parser: argparse.ArgumentParser) -> None:
    """Take no arguments."""


def run(arguments: argparse.Namespace) -> None:
    """Print one task after the other."""
    from kbench import tasks

    for name in tasks.ordered(tasks.usable()):
        print("\n".join(_task(name)))
    for name in sorted(set(tasks.names()) - set(tasks.usable())):
        print("\n".join(listing.or_problem(name, _task)))


def _task(name: str) -> list[str]:
    from kbench import tasks

    task = tasks.get(name)
    needs = ", with a train split" if task.fits else ""
    needs += "" if task.by_default else "; only where `evaluation.tasks` names it"
    lines = [f"{name:<24} {task.title}   [datasets: {', '.join(task.kinds)}{needs}]"]
    lines += listing.origin(tasks.FAMILY, name)
    for measure in task.metrics:
        direction = "higher is better" if measure.higher_is_better else "lower is better"
        lines.append(f"    {measure.name:<40} {measure.title}, {measure.unit}, {direction}")
    return lines
