"""Fetches a document whose tables are imported, only where a user gives its address."""

from pathlib import Path
from urllib.parse import urlsplit

import requests

from kbench import download
from kbench.errors import UserError
from kbench.files import replacing

SCHEMES = ("http://", "https://")
LONGEST = 300
"""Seconds that a whole document may take."""

LARGEST = 64 << 20
"""Bytes; the HTML page of a paper has a few millions."""


def is_address(text: str) -> bool:
    """Return whether a text is the address of a document on the web, and not a path."""
    return text.startswith(SCHEMES)


def fetch(address: str, folder: Path, name: str) -> Path:
    """Store a document as FOLDER/NAME.html, or .csv if it is one, and return its path.

    Raises UserError if it cannot be had whole, is larger than 64 MB, or is neither HTML nor CSV.
    """
    try:
        with download.get(address) as response:
            response.raise_for_status()
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            path = folder / f"{name}{_suffix(address, kind)}"
            with replacing(path) as temporary, temporary.open("wb") as stream:
                for piece in download.pieces(response, LARGEST, LONGEST):
                    stream.write(piece)
            return path
    except (requests.RequestException, download.CutOff, ValueError) as error:
        raise UserError(
            f"cannot fetch {address}: {error}. Where there is no network, save the page elsewhere"
            " and give its path"
        ) from error


def _suffix(address: str, content_type: str) -> str:
    if content_type == "text/csv" or Path(urlsplit(address).path).suffix.lower() == ".csv":
        return ".csv"
    if content_type in ("text/html", "application/xhtml+xml"):
        return ".html"
    raise UserError(f"{address} is {content_type}; tables are read from HTML and CSV")
