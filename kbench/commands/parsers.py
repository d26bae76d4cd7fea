"""The parser of each command."""

import argparse
import importlib
from types import ModuleType

from kbench.commands import COMMANDS


def module(name: str) -> ModuleType:
    """Return the module of a command; that of all evaluation tasks for the name of one."""
    own = name.replace(" ", "_").replace("-", "_") if name in COMMANDS else "task"
    return importlib.import_module(f"kbench.commands.{own}")


def parser(name: str) -> argparse.ArgumentParser:
    """Return a command's parser."""
    of_command = module(name)
    made = argparse.ArgumentParser(
        prog=f"kbench {name}",
        description=of_command.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    of_command.configure(made)
    return made
