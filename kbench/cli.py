"""The `kbench` command: finds the subcommand's module, parses, runs, and turns bad input into exit
status 2.

Each subcommand is a module of kbench.commands with `configure(parser)` and `run(arguments)`; a
module is imported only when its command is called, because importing torch and open_clip takes
seconds.
"""

import atexit
import gc
import os
import sys

from kbench import __version__, lifeline, tasks
from kbench.commands import ALIASES, COMMANDS, parsers
from kbench.errors import UserError, unknown


def main(argv: list[str] | None = None) -> None:
    """Run one kbench command and exit: 0 done, 2 the input is wrong (one message on stderr), 1
    anything else.
    """
    if argv is None:
        _spare_what_is_imported()
    lifeline.watch()
    try:
        status = _dispatch(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()  # here, where a reader that has gone is no error
        sys.exit(status)
    except UserError as error:
        print(f"kbench: {error}", file=sys.stderr)
        sys.exit(error.status)
    except BrokenPipeError:
        # The reader of a listing (head, less) has gone: nothing is wrong, and what is left to say
        # goes nowhere, also as the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        print("kbench: interrupted", file=sys.stderr)
        sys.exit(130)


def _spare_what_is_imported() -> None:
    """Keep Python from looking for garbage in what torch and open_clip make when imported, a third
    of the time of a short job: rarely while it is made, and not again as the process ends.
    """
    gc.set_threshold(20_000, 10, 10)
    atexit.register(gc.freeze)


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if argv[0] == "--version":
        print(f"kbench {__version__}")
        return 0
    name, rest = _command_name(argv)
    of_task = () if name in COMMANDS else (name.replace("-", "_"),)
    arguments = parsers.parser(name).parse_args(rest)
    return parsers.module(name).run(arguments, *of_task) or 0


def _command_name(argv: list[str]) -> tuple[str, list[str]]:
    """Split off the command, which is one word ('pretrain') or two ('world make')."""
    for words in (2, 1):
        name = " ".join(argv[:words])
        if name in COMMANDS:
            return name, argv[words:]
        if name in ALIASES:
            print(f"kbench: '{name}' is called '{ALIASES[name]}' now", file=sys.stderr)
            return ALIASES[name], argv[words:]
    group = [name for name in COMMANDS if name.startswith(argv[0] + " ")]
    if group:
        if len(argv) > 1 and not argv[1].startswith("-"):
            raise unknown("command", " ".join(argv[:2]), group)
        print("\n".join(f"  kbench {name:<20} {COMMANDS[name]}" for name in group))
        sys.exit(0 if len(argv) > 1 else 2)
    named = [name.replace("_", "-") for name in tasks.names()]
    if argv[0].replace("_", "-") in named:
        return argv[0], argv[1:]
    raise unknown("command", argv[0], [*COMMANDS, *named])


def _overview() -> str:
    lines = [f"  {name:<20} {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            (
                f"kbench {__version__}: reproducible benchmarking of contrastive image-text"
                " pretraining"
            ),
            "",
            "usage: kbench COMMAND [OPTIONS]     (kbench COMMAND --help has an example of each)",
            "",
            *lines,
        ]
    )
