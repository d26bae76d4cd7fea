"""A SIF header written by hand, from the published layout, for tests of the reader."""

import struct


def sif(architecture: bytes = b"02", objects: tuple[int, ...] = (100, 5000)) -> bytes:
    """Return a SIF with data objects of the given sizes, one after another."""
    rows, start = 48, 4096
    stride = 585
    place = start + rows * stride
    table = b""
    for size in objects:
        table += struct.pack("<i?3I2q", 0x4004, True, 1, 1, 0, place, size).ljust(stride, b"\0")
        place += size
    table = table.ljust(rows * stride, b"\0")
    header = struct.pack(
        "<32s10s3s3s16s8q",
        b"#!/usr/bin/env run-singularity\n",
        b"SIF_MAGIC",
        b"01",
        architecture,
        bytes(16),
        *(
            0,
            0,
            rows - len(objects),
            rows,
            start,
            rows * stride,
            start + rows * stride,
            sum(objects),
        ),
    )
    return header.ljust(start, b"\0") + table + bytes(sum(objects))
