"""Work in a second process gives what it gives in this one, whatever becomes of that process."""

import os
import signal

import pytest

from kbench import forked
from kbench.errors import UserError

TWO = len(os.sched_getaffinity(0)) > 1 if hasattr(os, "sched_getaffinity") else False
in_two = pytest.mark.skipif(not TWO, reason="takes Linux and two processors")


@in_two
def test_it_is_done_elsewhere_and_as_long_as_it_may_take():
    rows = list(range(100_000))  # more than a pipe holds
    result = forked.begin(lambda: (os.getpid(), rows))
    pid, seen = result()
    assert pid != os.getpid() and seen == rows
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_exception_is_that_of_the_one_who_waits():
    def fail():
        raise UserError("no such file")

    result = forked.begin(fail)
    with pytest.raises(UserError, match="no such file"):
        result()


@in_two
def test_what_a_killed_process_did_is_done_again(capfd):
    here = os.getpid()

    def work():
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return "done"

    assert forked.begin(work)() == "done"
    assert capfd.readouterr() == ("", "")


@in_two
def test_what_cannot_be_handed_over_is_made_again(capfd):
    assert forked.begin(lambda: lambda: 3)()() == 3
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("platform", "cores"), [("darwin", {0, 1}), ("linux", {0})])
def test_elsewhere_it_waits_until_it_is_asked_for(monkeypatch, platform, cores):
    monkeypatch.setattr(forked.sys, "platform", platform)
    monkeypatch.setattr(forked.os, "sched_getaffinity", lambda pid: cores, raising=False)
    done = []
    result = forked.begin(lambda: done.append(os.getpid()))
    assert not done
    result()
    assert done == [os.getpid()]
