"""Fetches a document whose tables are imported, only where a user gives its address."""

import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from kbench import __version__
from kbench.errors import UserError
from kbench.files import replacing

SCHEMES = ("http://", "https://")
SECONDS = 60
"""Longest silence of a server."""
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
    request = urllib.request.Request(address, headers={"User-Agent": f"kbench/{__version__}"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            path = folder / f"{name}{_suffix(address, response.headers.get_content_type())}"
            length = int(response.headers.get("Content-Length") or 0)
            with replacing(path) as temporary, temporary.open("wb") as stream:
                _copy(address, response, stream, length)
                if length and stream.tell() != length:
                    raise http.client.IncompleteRead(b"", length - stream.tell())
            return path
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(
            f"cannot fetch {address}: {reason}. Where there is no network, save the page elsewhere"
            " and give its path"
        ) from error


def _copy(address: str, response: http.client.HTTPResponse, stream: BinaryIO, length: int) -> None:
    """Copy piece by piece; UserError once the document is too large, whatever length was said, or
    takes too long.
    """
    end, size = time.monotonic() + LONGEST, length
    while True:
        if size > LARGEST:
            raise UserError(f"{address} has over {LARGEST >> 20} MB; larger documents are not read")
        if time.monotonic() > end:
            raise TimeoutError(f"not whole after {LONGEST} seconds")
        # read1 returns what has come, so that a server that sends byte by byte cannot outlast the
        # limit.
        piece = response.read1(1 << 16)
        if not piece:
            return
        stream.write(piece)
        size = max(length, stream.tell())


def _suffix(address: str, content_type: str) -> str:
    if content_type == "text/csv" or Path(urlsplit(address).path).suffix.lower() == ".csv":
        return ".csv"
    if content_type in ("text/html", "application/xhtml+xml"):
        return ".html"
    raise UserError(f"{address} is {content_type}; tables are read from HTML and CSV")
