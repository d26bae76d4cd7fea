"""The Docker engine's failures become one message; a socket that speaks its HTTP interface stands
in for it.
"""

from types import SimpleNamespace

import pytest
from fake_engine import Engine

from kbench.container import engine
from kbench.container.context import Context
from kbench.errors import UserError

STEP = {"stream": "Step 1/9 : FROM base\n"}


@pytest.fixture
def answering(tmp_path, monkeypatch):
    """A function that starts an engine on the socket that DOCKER_HOST names; it ends with the
    test.
    """
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/socket")
    started = []
    yield lambda events=(), complete=True: started.append(
        Engine(tmp_path / "socket", list(events), complete)
    )
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture
def build(tmp_path, answering):
    """Build against an engine that streams `events`; returns the image's id."""
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "Dockerfile").write_text("FROM scratch\n")

    def run(events, complete=True):
        answering(events, complete)
        with engine.session() as client:
            return engine.build(
                client, Context(tmp_path / "context", "base", "r", {}), "cpu", "kbench:test"
            )

    return run


def test_no_engine_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    with pytest.raises(
        UserError, match=r"no Docker engine answers.*dockerd.*DOCKER_HOST.*--engine apptainer"
    ):
        engine.require("base")


def test_a_base_that_is_not_here_and_cannot_be_pulled_is_named(answering):
    answering()
    with pytest.raises(
        UserError, match=r"base image no/such:1 is not here.*no such host.*--base IMAGE"
    ):
        engine.require("no/such:1")


def test_the_command_asks_for_the_base_before_it_makes_wheels(answering, kbench, refused):
    answering()
    refused(kbench("container", "build", "--base", "no/such:1"), "base image no/such:1", "--base")


def test_the_log_is_printed_and_the_engines_error_passed_on(build, capsys):
    with pytest.raises(UserError, match="the image was not built: no space left on device"):
        build([STEP, {"error": "no space left on device", "errorDetail": {}}])
    assert "Step 1/9" in capsys.readouterr().out


@pytest.mark.parametrize("complete", [True, False])
def test_an_engine_that_dies_half_way(build, complete):
    with pytest.raises(UserError, match=r"Docker engine failed|log ended early"):
        build([STEP], complete)


def test_an_image_for_another_processor_is_refused():
    client = SimpleNamespace(version=lambda: {"Arch": "amd64"})
    engine.check_processor(client, SimpleNamespace(id="i", attrs={"Architecture": "amd64"}))
    with pytest.raises(UserError, match=r"built for arm64, this engine runs amd64"):
        engine.check_processor(client, SimpleNamespace(id="i", attrs={"Architecture": "arm64"}))


def test_the_command_exits_with_2(kbench, refused, tmp_path):
    process = kbench("container", "build", DOCKER_HOST=f"unix://{tmp_path}/none")
    refused(process, "no Docker engine answers", "DOCKER_HOST")


def test_a_single_job_needs_an_engine_too(kbench, refused, tmp_path):
    command = ("container", "run", "--container", "docker", "--image", "kbench:none", "doctor")
    refused(kbench(*command, DOCKER_HOST=f"unix://{tmp_path}/none"), "no Docker engine answers")
