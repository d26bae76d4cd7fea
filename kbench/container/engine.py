"""The Docker engine, through its SDK: one place where it is reached and where its failures become
messages.
"""

import contextlib
import shutil
from collections.abc import Iterator

import docker
import urllib3
from docker.errors import APIError, DockerException, ImageNotFound

from kbench.container.context import Context
from kbench.errors import UserError

TIMEOUT = 3600
"""Seconds that the engine may be silent: copying a layer of gigabytes prints nothing."""

LOST = (OSError, urllib3.exceptions.HTTPError)
"""What a lost connection raises (requests' exceptions are OSErrors), and a full disk on this
side.
"""


@contextlib.contextmanager
def session() -> Iterator[docker.DockerClient]:
    """Yield a client; UserError, with what to do, if no engine answers or it fails meanwhile."""
    try:
        client = docker.from_env(timeout=TIMEOUT)
        client.ping()
    except (DockerException, *LOST) as error:
        raise UserError(
            f"no Docker engine answers ({error}). Start one (dockerd, or the docker service), let"
            " this user reach its socket, or point DOCKER_HOST at it. With Apptainer alone: kbench"
            " container build --engine apptainer"
        ) from error
    try:
        yield client
    except (DockerException, *LOST) as error:
        raise UserError(f"the Docker engine failed: {error}{_disk(client)}") from error
    finally:
        client.close()


def require(base: str) -> None:
    """Raise UserError if no engine answers, or it has no image `base` and cannot pull it, before
    any work is done.
    """
    with session() as client:
        try:
            client.images.get(base)
        except ImageNotFound:
            print(f"pulling {base}", flush=True)
            _pull(client, base)


def _pull(client: docker.DockerClient, image: str) -> None:
    try:
        client.images.pull(image)
    except APIError as error:
        raise UserError(
            f"the base image {image} is not here and cannot be pulled: {error.explanation}. Load"
            " one here (docker load, docker import) and name it with --base IMAGE"
        ) from error


def build(client: docker.DockerClient, context: Context, target: str, tag: str) -> str:
    """Build the Dockerfile's target without a network, printing the log as it comes, and return the
    image's id.
    """
    events = client.api.build(
        path=str(context.folder),
        tag=tag,
        target=target,
        buildargs=context.arguments,
        network_mode="none",
        rm=True,
        forcerm=True,
        decode=True,
    )
    identity = None
    for event in events:
        if "error" in event:
            raise UserError(f"the image was not built: {event['error'].strip()}{_disk(client)}")
        print(event.get("stream", ""), end="", flush=True)
        identity = event.get("aux", {}).get("ID", identity) if "aux" in event else identity
    if identity is None or client.images.get(tag).id != identity:
        raise UserError(
            "the image was not built: the engine's log ended early. Is it still running?"
        )
    return identity


def digest(client: docker.DockerClient, image: str) -> str:
    """Return the digest under which a registry knows the image, or its id where none does."""
    attributes = find(client, image)
    return next((name.split("@")[1] for name in attributes.attrs["RepoDigests"]), attributes.id)


def find(client: docker.DockerClient, image: str) -> docker.models.images.Image:
    """Return an image by name or id; UserError if the engine does not hold it."""
    try:
        return client.images.get(image)
    except ImageNotFound as error:
        raise UserError(
            f"the Docker engine has no image {image}: build it with `kbench container build`"
        ) from error


def check_processor(client: docker.DockerClient, image: docker.models.images.Image) -> None:
    """Raise UserError if the image is for another processor than the engine's."""
    built, here = image.attrs["Architecture"], client.version()["Arch"]
    if built != here:
        raise UserError(
            f"the image {image.id} is built for {built}, this engine runs {here}: build it here"
        )


def _disk(client: docker.DockerClient) -> str:
    """Return a remark if the disk that the engine stores images on is nearly full."""
    with contextlib.suppress(Exception):
        root = client.info()["DockerRootDir"]
        free = shutil.disk_usage(root).free / 1e9
        return f" ({free:.1f} GB are free at {root})" if free < 10 else ""
    return ""
