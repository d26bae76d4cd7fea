"""One job in a Docker container, for users without Apptainer: through the SDK, isolated as the
workflow's jobs are.
"""

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from docker.models.containers import Container
from docker.types import DeviceRequest, Mount

from kbench import provenance
from kbench.container import engine, isolation
from kbench.container.image import CODE_LABEL
from kbench.errors import UserError

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def run(name: str, folders: list[Path], command: list[str]) -> int:
    """Run `command` in the image `name`, print what it prints, and return its exit status.

    It sees `folders`, the temporary folder and the GPUs; it runs as this user, without a network,
    on a read-only root.
    """
    with engine.session() as client:
        image = engine.find(client, name)
        code = image.labels.get(CODE_LABEL)
        if code != provenance.code_version():
            raise UserError(
                f"{name} holds kbench {code}, this is {provenance.code_version()}: build the image"
                " again"
            )
        engine.check_processor(client, image)
        container = client.containers.create(image.id, command, **_settings(folders, image.id))
        try:
            return _follow(container)
        finally:
            container.remove(force=True)


def _settings(folders: list[Path], digest: str) -> dict:
    bound = isolation.folders([*folders, Path(tempfile.gettempdir())])
    return {
        "mounts": [Mount(str(path), str(path), type="bind") for path in bound],
        "user": f"{os.getuid()}:{os.getgid()}",
        "working_dir": os.getcwd(),
        "environment": {"HOME": os.getcwd(), **isolation.environment(digest)},
        "network_mode": "none",
        "read_only": True,
        "ipc_mode": "private",
        "shm_size": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2,
        "device_requests": (
            [DeviceRequest(count=-1, capabilities=[["gpu"]])] if isolation.gpu() else []
        ),
        "init": True,
    }


def _follow(container: Container) -> int:
    container.start()
    with _forwarding(container):
        for chunk in container.logs(stream=True, follow=True):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        return container.wait()["StatusCode"]


@contextlib.contextmanager
def _forwarding(container: Container) -> Iterator[None]:
    """Hand signals on: training writes a checkpoint before it ends."""
    before = {
        number: signal.signal(number, lambda number, _: container.kill(number))
        for number in FORWARDED
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
