"""Files that were damaged, or that somebody wants to do harm with, made from good ones at random."""

import json
import random

DEEP = "[" * 100_000
VALUES = (
    None,
    True,
    -1,
    2.0,
    10**400,
    -(10**30),
    "",
    "../../x",
    "x\n",
    [],
    {},
    [[]],
    "\ud800",
    1e308,
)


def raw(content: bytes, draw: random.Random) -> bytes:
    """Return bytes cut, flipped, repeated, zeroed or replaced somewhere."""
    if not content:
        return b"\0"
    at, length = draw.randrange(len(content)), draw.choice((1, 8, 500))
    ways = (
        lambda: content[:at],
        lambda: content[:at] + bytes([content[at] ^ (1 << draw.randrange(8))]) + content[at + 1 :],
        lambda: content[:at] + draw.randbytes(length) + content[at + length :],
        lambda: content[:at] + b"\0" * length + content[at + length :],
        lambda: content + content[:length],
        lambda: draw.randbytes(length),
        lambda: b"",
    )
    return draw.choice(ways)()


def document(content: bytes, draw: random.Random) -> bytes:
    """Return a JSON document, or one a line, with a value changed, a key twice, or nested deeply."""
    text = content.decode()
    line = draw.choice(text.splitlines()) if text.count("\n{") else text
    try:
        value = json.loads(line)
    except ValueError:
        return raw(content, draw)
    way = draw.choice(
        ("value", "value", "value", "missing", "extra", "twice", "deep", "NaN", "raw")
    )
    if way == "raw":
        return raw(content, draw)
    if way in ("deep", "NaN", "twice"):
        first = f'"{next(iter(value))}": ' if isinstance(value, dict) and value else ""
        new = {"deep": DEEP, "NaN": "NaN", "twice": "1"}[way]
        made = line.replace("{", f"{{{first}{new}, ", 1) if first else new
        return text.replace(line, made, 1).encode()
    holder = draw.choice(list(_holders(value)))
    key = draw.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    if way == "missing":
        del holder[key]
    elif way == "extra" and isinstance(holder, dict):
        holder["extra"] = 1
    else:
        holder[key] = draw.choice(VALUES)
    return text.replace(line, json.dumps(value), 1).encode("utf-8", "surrogatepass")


def _holders(value):
    """Yield every dict and list that is not empty."""
    if isinstance(value, dict | list) and value:
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _holders(inner)
