"""Two ways to run a kbench command that show a test the same of it."""

import contextlib
import io
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from tiny import ROOT

from kbench import cli


def here(*arguments, cwd=ROOT, **environment) -> subprocess.CompletedProcess:
    """Run a command in this process, with its working folder and its environment."""
    words = [str(argument) for argument in arguments]
    out, err = io.StringIO(), io.StringIO()
    with (
        _folder(cwd),
        mock.patch.dict(os.environ, _variables(environment), clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = _status(words)
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


def alone(*arguments, cwd=ROOT, **environment) -> subprocess.CompletedProcess:
    """Run a command in a process of its own."""
    variables = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **_variables(environment)}
    words = [sys.executable, "-m", "kbench", *map(str, arguments)]
    return subprocess.run(
        words, cwd=cwd, env=variables, capture_output=True, text=True, timeout=300
    )


def _variables(environment: dict[str, str]) -> dict[str, str]:
    """Return the environment of a command: data sets are there for whoever names them."""
    return {key: value for key, value in os.environ.items() if key != "KBENCH_DATA"} | environment


def _status(words: list[str]) -> int:
    try:
        cli.main(words)
    except SystemExit as end:
        return end.code or 0
    except Exception:
        traceback.print_exc()
        return 1
    return 0


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)
