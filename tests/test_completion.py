"""`kbench completion`: what real shells offer."""

import shutil
import subprocess

import pytest

from kbench import tasks
from kbench.commands import COMMANDS, parsers

OFFERED = [
    ("kbench che", {"check"}),
    ("kbench world ", {"make"}),
    ("kbench world make --se", {"--seed"}),
    ("kbench features --device ", {"auto", "cpu", "cuda"}),
    ("kbench compare results --fail-on l", {"lower"}),
    ("kbench few-shot-probe --ru", {"--run"}),
    ("kbench completion f", {"fish"}),
]


def script(kbench, shell):
    done = kbench("completion", shell)
    assert done.returncode == 0, done.stderr
    return done.stdout


def asked(shell, text):
    done = subprocess.run([shell], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


@pytest.mark.parametrize("typed, offered", OFFERED)
def test_bash_offers(kbench, typed, offered):
    words = " ".join(f"'{word}'" for word in typed.split(" "))
    ask = f"COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _kbench\n"
    shown = asked("bash", script(kbench, "bash") + ask + 'printf "%s\\n" "${COMPREPLY[@]}"\n')
    assert set(shown.split()) == offered


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
@pytest.mark.parametrize("typed, offered", OFFERED)
def test_fish_offers(kbench, typed, offered):
    shown = asked("fish", script(kbench, "fish") + f"complete -C '{typed}'\n")
    assert {line.split("\t")[0] for line in shown.splitlines()} == offered


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
def test_zsh_reads_the_script_and_completes_with_it(kbench):
    begin = "autoload -Uz compinit && compinit -u -D\n"
    ask = (
        "echo ${_comps[kbench]}; COMP_WORDS=(kbench che); COMP_CWORD=1; which _kbench >/dev/null\n"
    )
    assert "_kbench" in asked("zsh", begin + script(kbench, "zsh") + ask)


def test_every_command_and_every_option_is_there(kbench):
    text = script(kbench, "bash")
    for name in [*COMMANDS, *(task.replace("_", "-") for task in tasks.names())]:
        for action in parsers.parser(name)._actions:
            assert all(option in text for option in action.option_strings[-1:]), name
