"""Downloads that are held to limits: of bytes, of silence, and of time altogether."""

import time
from collections.abc import Iterator

import requests
import urllib3

from kbench import __version__

SILENCE = (30, 60)
"""Seconds to wait for a connection, and for the next bytes."""

PIECE = 1 << 20


class CutOff(Exception):
    """A document did not arrive whole, or is larger or slower than it may be.

    Not a requests.RequestException: that is an OSError, which a file's writer takes for one of the
    disk.
    """


def get(address: str, session: requests.Session | None = None) -> requests.Response:
    """Ask for a document, whose body is read by `pieces`; requests.RequestException if there is
    none. Without compression on the way, the announced length is that of the body.
    """
    headers = {"User-Agent": f"kbench/{__version__}", "Accept-Encoding": "identity"}
    return (session or requests).get(address, stream=True, timeout=SILENCE, headers=headers)


def announced(response: requests.Response) -> int | None:
    """Return the length that the server announces; None if it announces none."""
    compressed = response.headers.get("Content-Encoding", "identity") != "identity"
    return None if compressed else int(response.headers.get("Content-Length", 0)) or None


def pieces(response: requests.Response, largest: int, longest: float) -> Iterator[bytes]:
    """Yield the body as it comes; CutOff once it has more than `largest` bytes, whatever length was
    announced, or takes more than `longest` seconds, or ends early.
    """
    end, size, length = time.monotonic() + longest, 0, announced(response)
    if (length or 0) > largest:
        raise CutOff(f"it has over {_readable(largest)}")
    try:
        # read1 returns what has come, so that a server that sends byte by byte cannot outlast the
        # limit.
        while piece := response.raw.read1(PIECE, decode_content=True):
            size += len(piece)
            if size > largest:
                raise CutOff(f"it has over {_readable(largest)}")
            if time.monotonic() > end:
                raise CutOff(f"not whole after {longest:g} seconds")
            yield piece
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise CutOff(f"{response.url} ended early") from error
    if length is not None and size != length:
        raise CutOff(f"{response.url} ended early, {length - size} bytes before its end")


def _readable(size: int) -> str:
    return f"{size >> 30} GB" if size >= 1 << 30 else f"{size >> 20} MB"
