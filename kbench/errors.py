"""The one exception for input a user can correct, and how its message is worded."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """The input is wrong: the message says what was seen and what is legal. The command exits with
    status 2.
    """

    status = 2


class DiskFull(UserError):
    """There was no room for a file. Nothing is wrong with the input, so that the command exits with
    status 1.
    """

    status = 1


LONGEST = 200
"""Characters of what was seen that a message repeats."""


def shown(seen: object) -> str:
    """Return what was seen as a message repeats it: as Python writes it, cut where it is long.

    >>> shown("cosin")
    "'cosin'"
    """
    text = repr(seen)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text)} characters)"


def unknown(what: str, seen: str, legal: Iterable[str]) -> UserError:
    """Return the error for a name that is not among the legal ones, with the nearest match.

    >>> str(unknown("variant", "cosin", ["cosine", "filip"]))
    "unknown variant 'cosin'; did you mean 'cosine'? Legal: cosine, filip"
    """
    names = sorted(legal)
    near = difflib.get_close_matches(seen[:LONGEST], names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return UserError(f"unknown {what} {shown(seen)}{hint} Legal: {', '.join(names)}")
