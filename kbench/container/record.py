"""container.json: what an image holds and what it was made from. It lies beside the SIF."""

from pathlib import Path

from pydantic import Field, ValidationError

from kbench import files
from kbench.errors import UserError
from kbench.records.documents import Record

NAME = "container.json"


class Sif(Record):
    """The image as a file for Apptainer."""

    path: str = Field(description="file name, beside this document")
    sha256: str = Field(description="SHA-256, which result rows of jobs in it carry")
    bytes: int = Field(description="size of the file")


class Container(Record):
    """One build."""

    target: str = Field(description="cpu or cuda")
    engine: str = Field(description="docker or apptainer: what built it")
    image: str | None = Field(
        description="the Docker engine's id of the image; null if Apptainer built it alone"
    )
    digest: str | None = Field(
        description="digest in the registry, or the id if it was never pushed; null likewise"
    )
    bytes: int | None = Field(description="size of the Docker image; null likewise")
    base: str = Field(description="image it starts from, as given")
    base_id: str | None = Field(description="the Docker engine's id of the base; null likewise")
    code_version: str = Field(
        description="kbench inside: version and hash of the code that decides numbers"
    )
    revision: str = Field(description="git revision of the checkout")
    packages: dict[str, str] = Field(description="version of every Python package inside")
    wheels: dict[str, str] = Field(description="SHA-256 of every wheel that was installed")
    seconds: float = Field(description="how long the build took, conversion included")
    sif: Sif | None = Field(description="the SIF, where Apptainer was present")

    def docker_image(self) -> str:
        """Return the Docker engine's id of the image; UserError if Docker did not build it."""
        if self.image is None:
            raise UserError(
                "Apptainer built this image alone: build one for Docker with `kbench container"
                " build`"
            )
        return self.image


def write(folder: Path, container: Container) -> Path:
    """Write container.json into a folder and return its path."""
    files.write_json(folder / NAME, container.model_dump(mode="json"))
    return folder / NAME


def read(folder: Path) -> Container:
    """Read a folder's container.json; UserError if there is none or it is not one."""
    if not (folder / NAME).exists():
        raise UserError(
            f"no image was built here (no {folder / NAME}): build one with `kbench container"
            " build`, or give --image"
        )
    try:
        return Container.model_validate(files.read_json(folder / NAME))
    except ValidationError as error:
        raise UserError(
            f"{folder / NAME} is not a record of `kbench container build`: {error}"
        ) from error
