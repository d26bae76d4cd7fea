"""Download a dataset that lies on the web in CLIP_benchmark's webdataset layout."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import requests

from kbench import download, files
from kbench.datasets.dataset import Dataset
from kbench.datasets.reader import Split, shard_count
from kbench.datasets.texts import CLASS_NAMES
from kbench.errors import UserError
from kbench.progress import bar

RECORD = "fetched.json"
"""Where every file came from, its size and SHA-256; written beside the data."""

LARGEST, LARGEST_TEXT = 64 << 30, 16 << 20
"""Bytes of a shard, and of a list of names."""

LONGEST = 12 * 3600.0
"""Seconds that one file may take."""

OPTIONAL = (CLASS_NAMES, "zeroshot_classification_templates.txt", "dataset_type.txt")
HUB = "https://huggingface.co/datasets/"


@dataclass(frozen=True)
class Remote:
    """Where a dataset's small files and its shards are.

    Hugging Face shows a folder at .../tree/REVISION and serves text at .../raw/ and large files at
    .../resolve/; for any other address the two are the same.
    """

    url: str

    def address(self, name: str) -> str:
        """Return the address of a file by its path in the layout."""
        url = self.url.rstrip("/")
        if url.startswith(HUB) and "/tree/" in url:
            url = url.replace("/tree/", "/resolve/" if name.endswith(".tar") else "/raw/", 1)
        return f"{url}/{name}"


def fetch(dataset: Dataset, root: Path, url: str | None = None) -> bool:
    """Download every split that the dataset's metadata names to the folder `root`; False if it is
    there already.

    Files arrive in a folder beside `root` which takes its name when all are there, whole and in the
    published number: what is interrupted goes on with the files that are missing. Raises UserError
    if there is no URL, a file cannot be had, or the images are not as many as the metadata says.
    """
    url = url or dataset.url
    if url is None:
        raise UserError(f"dataset '{dataset.name}' has no URL. {dataset.instructions(root)}")
    if root.exists():
        return False
    scratch = root.with_name(f".{root.name}.part")
    _start(scratch, url)
    try:
        with requests.Session() as session:
            _download(session, Remote(url), dataset, scratch)
    except (requests.RequestException, download.CutOff) as error:
        raise UserError(
            f"cannot fetch '{dataset.name}' from {url}: {_reason(error)}. What has arrived is kept"
            f" for the next try. {dataset.instructions(root)}"
        ) from error
    for name in dataset.splits:
        Split(dataset, scratch, name)
    _record(dataset, url, scratch)
    os.replace(scratch, root)
    return True


def changed(root: Path) -> list[str]:
    """Return the files of a downloaded dataset that are no longer as they arrived, by the SHA-256
    that was kept; none of a dataset that was not downloaded.
    """
    record = root / RECORD
    if not record.is_file():
        return []
    kept = files.read_json(record).get("files", {})
    return sorted(
        name
        for name, file in kept.items()
        if not (root / name).is_file() or files.sha256(root / name) != file["sha256"]
    )


def _start(scratch: Path, url: str) -> None:
    """Make the folder that files arrive in; what came from another address before is thrown
    away.
    """
    origin = scratch / RECORD
    if not origin.is_file() or files.read_json(origin).get("url") != url:
        shutil.rmtree(scratch, ignore_errors=True)
        files.write_json(origin, {"url": url})


def _download(session: requests.Session, remote: Remote, dataset: Dataset, scratch: Path) -> None:
    for name in OPTIONAL:
        _file(session, remote.address(name), scratch / name, optional=True)
    for split in dataset.splits:
        _file(session, remote.address(f"{split}/nshards.txt"), scratch / split / "nshards.txt")
        for index in range(shard_count(scratch / split)):
            _file(session, remote.address(f"{split}/{index}.tar"), scratch / split / f"{index}.tar")


def _file(session: requests.Session, address: str, path: Path, optional: bool = False) -> None:
    """Download one file unless it is there; every file that is there is whole."""
    if path.is_file():
        return
    with download.get(address, session) as response:
        if optional and response.status_code == requests.codes.not_found:
            return
        response.raise_for_status()
        name = f"{path.parent.name}/{path.name}"
        progress = bar(name, download.announced(response), unit="B")
        largest = LARGEST if path.suffix == ".tar" else LARGEST_TEXT
        with files.replacing(path) as temporary, temporary.open("wb") as stream, progress:
            for piece in download.pieces(response, largest, LONGEST):
                stream.write(piece)
                progress.update(len(piece))


def _record(dataset: Dataset, url: str, scratch: Path) -> None:
    paths = sorted(path for path in scratch.rglob("*") if path.is_file() and path.name != RECORD)
    hashes = {
        path.relative_to(scratch).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": files.sha256(path),
        }
        for path in paths
    }
    files.write_json(scratch / RECORD, {"url": url, "revision": dataset.revision, "files": hashes})


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError):
        return f"{error.response.status_code} {error.response.reason} for {error.response.url}"
    if isinstance(error, requests.ConnectionError):
        return f"no connection ({type(error).__name__})"
    return str(error)
