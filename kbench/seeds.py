"""Seeds derived from named axes, never from the position of a global generator."""

import hashlib


def derive(*axes: str | int) -> int:
    """Return a 63-bit seed that depends on the axes alone, e.g. derive("draw", run_seed, dataset,
    3).

    Every consumer of randomness names what it draws for, so adding a consumer changes nobody else's
    numbers.
    """
    text = "\x1f".join(f"{type(axis).__name__}:{axis}" for axis in axes)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1
