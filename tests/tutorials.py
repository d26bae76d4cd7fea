"""What a page of the documentation does: its commands, what they print, the files that it writes."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
WHERE = "__where__"


@dataclass(frozen=True)
class Step:
    """A command and what it prints, `...` standing for anything; or a file and what is in it."""

    command: str | None
    text: str
    path: str | None = None


def steps(page: str) -> Iterator[Step]:
    """Yield what a page does, in order."""
    for language, title, body in BLOCK.findall(page):
        if title:
            yield Step(None, body, title)
        elif language == "console":
            for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                command, _, printed = part.partition("\n")
                yield Step(command, printed)


def follow(page: Path, folder: Path, path: str) -> list[str]:
    """Do what a page does, beginning in a folder; return the commands.

    Raises AssertionError at the first that prints something else.
    """
    commands = []
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    for step in steps(page.read_text()):
        if step.command is None:
            (folder / step.path).write_text(step.text)
            continue
        script = f"{step.command}\nprintf '\\n{WHERE}%s' \"$PWD\""
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        printed, _, where = done.stdout.rpartition(f"\n{WHERE}")
        folder = Path(where)
        assert as_said(step.text, printed), f"{page.name}: $ {step.command}\n{printed}"
        commands.append(step.command)
    return commands


def as_said(said: str, printed: str) -> bool:
    """Return whether a page's lines are what was printed, trailing spaces and line ends apart."""
    said, printed = (
        "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n"
        for text in (said, printed)
    )
    if said == "\n":
        return printed == "\n"
    return doctest.OutputChecker().check_output(said, printed, doctest.ELLIPSIS)
