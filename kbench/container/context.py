"""What a build is given: the wheels, the Dockerfile, and the facts that become the image's labels."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from kbench import __version__, provenance
from kbench.container import wheelhouse
from kbench.container.checkout import Checkout
from kbench.errors import UserError


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


def prepare(checkout: Checkout, choice: str, base: str | None, index: str | None = None) -> Context:
    """Return the context for `choice` ('cpu' or 'cuda' wheels), below the checkout's build folder.

    UserError if a package cannot be had or the folder cannot be written.
    """
    folder = checkout.root / "build" / f"container-{choice}"
    base = base or checkout.base()
    try:
        wheels = wheelhouse.resolve(checkout, choice, folder / "dependencies", index)
        package = wheelhouse.build_package(checkout, folder / "dependencies", folder / "package")
        shutil.copy(checkout.dockerfile, folder / "Dockerfile")
    except OSError as error:
        raise UserError(f"cannot write {error.filename or folder}: {error.strerror or error}") from error
    return Context(folder, base, checkout.revision(), wheels | package)
