"""Print what a shell needs to complete kbench's commands, options and choices.

Examples:
  source <(kbench completion bash)           in ~/.bashrc
  source <(kbench completion zsh)            in ~/.zshrc, after compinit
  kbench completion fish | source            in ~/.config/fish/config.fish
"""

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from kbench import tasks
from kbench.commands import COMMANDS, parsers


@dataclass(frozen=True)
class Option:
    """An option as it is written, with what it takes: one of some words, anything, or nothing."""

    name: str
    choices: tuple[str, ...]
    takes_value: bool
    help: str


@dataclass(frozen=True)
class Command:
    """A command with the words that can follow it."""

    name: str
    summary: str
    choices: tuple[str, ...]  # of its first argument
    options: tuple[Option, ...]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("shell", choices=sorted(SHELLS), help="the shell that reads it")


def run(arguments: argparse.Namespace) -> None:
    """Print the script."""
    of_task = {name.replace("_", "-"): tasks.title(name) for name in tasks.names()}
    named = {**of_task, **COMMANDS}
    print(SHELLS[arguments.shell]([_command(name, said) for name, said in named.items()]), end="")


def _command(name: str, summary: str) -> Command:
    options, choices = [], ()
    for action in parsers.parser(name)._actions:
        some = tuple(map(str, action.choices or ()))
        if action.option_strings:
            said = " ".join((action.help or "").replace("%(default)s", str(action.default)).split())
            options.append(Option(action.option_strings[-1], some, action.nargs != 0, said))
        else:
            choices = choices or some
    return Command(name, summary, choices, tuple(options))


def _bash(commands: list[Command]) -> str:
    """Return a script for bash 3.2 and later, which zsh's bashcompinit reads too."""
    following = {"": sorted({command.name.split()[0] for command in commands})}
    for command in commands:
        first, _, second = command.name.partition(" ")
        if second:
            following.setdefault(first, []).append(second)
    for command in commands:
        words = [*command.choices, *(option.name for option in command.options)]
        following.setdefault(command.name, []).extend(words)
    options = [(command, option) for command in commands for option in command.options]
    chosen = {f"{c.name} {o.name}": o.choices for c, o in options if o.choices}
    valued = sorted({o.name for _, o in options if o.takes_value and not o.choices})
    return f"""\
_kbench_following() {{
  case "$1" in
{_cases(following)}
  esac
}}
_kbench_chosen() {{
  case "$1" in
{_cases(chosen)}
  esac
}}
_kbench() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} name="" words
  [ "$COMP_CWORD" -gt 1 ] && name=${{COMP_WORDS[1]}}
  local both="$name ${{COMP_WORDS[2]}}"
  [ "$COMP_CWORD" -gt 2 ] && [ -n "$(_kbench_following "$both")" ] && name=$both
  words=$(_kbench_chosen "$name $before")
  case " {" ".join(valued)} " in
    *" $before "*) [ -n "$words" ] || {{ COMPREPLY=(); return; }} ;;
  esac
  COMPREPLY=($(compgen -W "${{words:-$(_kbench_following "$name")}}" -- "$word"))
}}
complete -o default -F _kbench kbench
"""


def _zsh(commands: list[Command]) -> str:
    return "autoload -U +X bashcompinit && bashcompinit\n" + _bash(commands)


def _cases(words: dict[str, list[str]]) -> str:
    lines = [
        f"    {shlex.quote(before)}) echo {shlex.quote(' '.join(after))} ;;"
        for before, after in words.items()
        if after
    ]
    return "\n".join(lines)


def _fish(commands: list[Command]) -> str:
    return "\n".join([_FISH, *_fish_lines(commands)]) + "\n"


def _fish_lines(commands: list[Command]) -> Iterator[str]:
    for command in commands:
        *before, last = command.name.split()
        if before and not any(other.name == before[0] for other in commands):
            yield _fish_word("", before[0], "")
        yield _fish_word(" ".join(before), last, command.summary)
        for choice in command.choices:
            yield _fish_word(command.name, choice, "")
        for option in command.options:
            kind = "-s" if not option.name.startswith("--") else "-l"
            value = " -x" if option.choices else " -r" if option.takes_value else ""
            some = f" -a {shlex.quote(' '.join(option.choices))}" if option.choices else ""
            yield (
                f"complete -c kbench -n {shlex.quote(f'__kbench_in {command.name}')}"
                f" {kind} {option.name.lstrip('-')}{value}{some} -d {_fish_quoted(option.help)}"
            )


def _fish_word(before: str, word: str, summary: str) -> str:
    condition = shlex.quote(f"__kbench_at {before}".rstrip())
    said = f" -d {_fish_quoted(summary)}" if summary else ""
    return f"complete -c kbench -f -n {condition} -a {shlex.quote(word)}{said}"


def _fish_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


_FISH = """\
function __kbench_at
    set -l words (commandline -opc)
    test "$words[2..-1]" = "$argv"
end
function __kbench_in
    set -l words (commandline -opc)
    set -l last (math (count $argv) + 1)
    test (count $words) -ge $last; and test "$words[2..$last]" = "$argv"
end"""

SHELLS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
