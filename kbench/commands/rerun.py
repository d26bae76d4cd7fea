"""Print the commands that make a result again from its frozen configuration; with --go, run them
and compare.

With --go everything is made in a fresh folder, training included, and the exit status says whether
all metrics are equal bit for bit: 0 if so, 1 if not.

Examples:
  kbench rerun results/demo/runs/RUN/evaluation/world-shape-colour/zeroshot.json
  kbench rerun results/demo/runs/RUN/evaluation/world-shape-colour/zeroshot.json --go again
"""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kbench.trace.commands import Command


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the result, and where it is made again."""
    parser.add_argument(
        "result", type=Path, help="a result's document, runs/RUN/evaluation/DATASET/TASK.json"
    )
    parser.add_argument(
        "--go",
        type=Path,
        metavar="FOLDER",
        help="run the commands in this folder, which must be new",
    )
    parser.add_argument(
        "--data", type=Path, help="folder of real data sets, where the run needs any"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the commands, or run them; 1 if a number differs."""
    from kbench import files
    from kbench.errors import UserError
    from kbench.records.documents import TaskResult
    from kbench.results import store
    from kbench.trace import chain, commands

    traced = chain.of(arguments.result)
    folder = arguments.go or Path("again")
    recipe = commands.recipe(traced, folder, arguments.data)
    if arguments.go is None:
        print(f"# {', '.join(str(path) for path in recipe.documents)} as frozen, then:")
        print("\n".join(map(_line, recipe.commands)))
        return 0
    if folder.exists():
        raise UserError(f"{folder} is there already: --go needs a new folder")
    for path, document in recipe.documents.items():
        files.write_json(path, document)
    for command in recipe.commands:
        print(_line(command), flush=True)
        variables = {**os.environ, **command.environment}
        status = subprocess.run(
            [sys.executable, "-m", "kbench", *command.words], env=variables
        ).returncode
        if status:
            return status
    different = commands.differences(traced.result, store.read_record(recipe.result, TaskResult))
    print(
        "\n".join(different)
        or f"equal: all {len(traced.result.metrics)} metrics of {recipe.result}"
    )
    return int(bool(different))


def _line(command: "Command") -> str:
    variables = "".join(f"{name}={value} " for name, value in command.environment.items())
    return f"{variables}kbench {shlex.join(command.words)}"
