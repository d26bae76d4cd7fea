"""Writing samples as webdataset shards whose bytes depend on nothing but the samples."""

import io
import itertools
import tarfile
from collections.abc import Iterable
from pathlib import Path

SAMPLES_A_SHARD = 2500


def write_shards(folder: Path, samples: Iterable[dict[str, bytes]], name: str) -> int:
    """Write samples to folder/name.format(0), folder/name.format(1) ..., 2,500 a tar file; return
    how many files.

    Keys are nine digits, counted over all shards. Owner, mode and time of every member are the same
    (time 0).
    """
    folder.mkdir(parents=True)
    numbered = enumerate(samples)
    for shard in itertools.count():
        part = list(itertools.islice(numbered, SAMPLES_A_SHARD))
        if not part:
            return shard
        with tarfile.open(folder / name.format(shard), "w", format=tarfile.USTAR_FORMAT) as archive:
            for number, sample in part:
                _add(archive, f"{number:09d}", sample)


def _add(archive: tarfile.TarFile, key: str, sample: dict[str, bytes]) -> None:
    for suffix, content in sample.items():
        member = tarfile.TarInfo(f"{key}.{suffix}")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
