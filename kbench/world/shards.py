"""Writing samples as webdataset shards whose bytes depend on nothing but the samples."""

import itertools
from collections.abc import Iterable
from pathlib import Path

from kbench.lazily import without_torch

SAMPLES_A_SHARD = 2500


def write_shards(folder: Path, samples: Iterable[dict[str, bytes]], name: str) -> int:
    """Write samples to folder/name.format(0), folder/name.format(1) ..., 2,500 a tar file; return
    how many files.

    Keys are nine digits, counted over all shards. Owner, mode and time of every member are the same
    (time 0).
    """
    tar_writer = without_torch("webdataset").TarWriter
    folder.mkdir(parents=True)
    plain = {"encoder": False, "user": "", "group": "", "mode": 0o644, "mtime": 0}
    numbered = enumerate(samples)
    for shard in itertools.count():
        part = list(itertools.islice(numbered, SAMPLES_A_SHARD))
        if not part:
            return shard
        with (folder / name.format(shard)).open("wb") as file, tar_writer(file, **plain) as archive:
            for number, sample in part:
                archive.write({"__key__": f"{number:09d}", **sample})
