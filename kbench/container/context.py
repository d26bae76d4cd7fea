"""What a build is given: the wheels, the Dockerfile, and the facts that become the image's
labels.
"""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kbench import __version__, files, provenance
from kbench.container import wheelhouse
from kbench.container.checkout import Checkout


@dataclass(frozen=True)
class Context:
    """A folder with `dependencies/`, `package/` and `Dockerfile`."""

    folder: Path
    base: str
    revision: str
    wheels: dict[str, str]
    """{wheel file: SHA-256}, kbench's own included."""

    @property
    def arguments(self) -> dict[str, str]:
        """The build arguments that Dockerfile and definition share."""
        return {
            "BASE": self.base,
            "VERSION": __version__,
            "REVISION": self.revision,
            "CODE": provenance.code_version(),
        }


def gather(
    checkout: Checkout, choice: str, index: str | None = None
) -> tuple[Path, dict[str, str]]:
    """Return a folder below the checkout with the wheels of all dependencies, and {wheel file:
    SHA-256}.

    `choice` is 'cpu' or 'cuda', the build of torch. UserError if a package cannot be had or the
    folder not be written.
    """
    folder = checkout.root / "build" / f"container-{choice}" / "dependencies"
    with _writing(folder):
        return folder, wheelhouse.resolve(checkout, choice, folder, index)


def prepare(checkout: Checkout, choice: str, base: str, index: str | None = None) -> Context:
    """Return the context for a build of torch, 'cpu' or 'cuda'; UserError as gather()."""
    dependencies, wheels = gather(checkout, choice, index)
    folder = dependencies.parent
    with _writing(folder):
        package = wheelhouse.build_package(checkout, dependencies, folder / "package")
        shutil.copy(checkout.dockerfile, folder / "Dockerfile")
    return Context(folder, base, checkout.revision(), wheels | package)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise files.unwritable(Path(error.filename or folder), error) from error
