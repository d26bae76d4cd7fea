"""Feature folders: memory-mapped arrays that count as present only with their record, written
last.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kbench import files
from kbench.errors import UserError
from kbench.records.documents import FeatureRecord

RECORD = "features.json"

MEANING = {
    "version": 3,
    "transform": "RGB, torchvision's Resize (bicubic) and CenterCrop, ImageNet mean and sd",
    "dtype": "float32",
}
"""Part of every key; features with another are refused. The version is raised whenever arrays
change meaning.
"""


class Writer:
    """Writes arrays row by row into a folder that takes its final name only when `finish` is
    called.
    """

    def __init__(self, folder: Path) -> None:
        self.final, self.folder = folder, folder.with_name(f".{folder.name}.part")
        self.arrays: dict[str, np.memmap] = {}
        try:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
        except OSError as error:
            raise files.unwritable(folder, error) from error

    def rows(self, name: str, start: int, total: int, values: torch.Tensor | np.ndarray) -> None:
        """Put `values` at rows start... of an array with `total` rows, which is made at its first
        rows.
        """
        values = (
            values.detach().cpu().numpy()
            if isinstance(values, torch.Tensor)
            else np.asarray(values)
        )
        if name not in self.arrays:
            path = self.folder / f"{name}.npy"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                array = np.lib.format.open_memmap(
                    path, "w+", values.dtype, (total, *values.shape[1:])
                )
            except OSError as error:
                raise files.unwritable(path, error) from error
            files.claim(path)
            self.arrays[name] = array
        self.arrays[name][start : start + len(values)] = values

    def whole(self, name: str, values: torch.Tensor | np.ndarray | list[int]) -> None:
        """Put a whole array."""
        values = values if isinstance(values, torch.Tensor) else np.asarray(values)
        self.rows(name, 0, len(values), values)

    def join(self, parts: Sequence["Reader"]) -> None:
        """Put the arrays of parts after each other. UserError if one of them is corrupt."""
        for name in dict.fromkeys(name for part in parts for name in part.shapes):
            pieces = [part.array(name) for part in parts if name in part.shapes]
            start, total = 0, sum(map(len, pieces))
            for piece in pieces:
                self.rows(name, start, total, piece)
                start += len(piece)

    def finish(self, key: dict[str, Any]) -> None:
        """Write the record and move the folder to its final name, replacing features made with
        another key.
        """
        for array in self.arrays.values():
            array.flush()
        shapes = {name: list(array.shape) for name, array in self.arrays.items()}
        self.arrays = {}
        hashes = {name: files.sha256(self.folder / f"{name}.npy") for name in shapes}
        files.write_json(
            self.folder / RECORD, FeatureRecord(key=key, arrays=shapes, sha256=hashes).model_dump()
        )
        # The record goes first: without it, what is left of a folder half removed does not count.
        (self.final / RECORD).unlink(missing_ok=True)
        shutil.rmtree(self.final, ignore_errors=True)
        self.folder.rename(self.final)


class Reader:
    """The arrays of a feature folder, memory-mapped. UserError if it is absent, corrupt or of
    another meaning.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / RECORD).exists():
            raise UserError(f"no features in {folder}: run `kbench features` first")
        record = files.read_json(folder / RECORD)
        if not isinstance(record, dict) or not {"key", "arrays", "sha256"} <= record.keys():
            raise UserError(
                f"{folder / RECORD} is not a feature record of this version: run `kbench features`"
                " again"
            )
        self.key: dict[str, Any] = record["key"] if isinstance(record["key"], dict) else {}
        for name, legal in MEANING.items():
            if (seen := self.key.get(name)) != legal:
                raise UserError(
                    f"features in {folder} have {name} {seen!r}, not {legal!r}: run `kbench"
                    " features` again, with the same --run and --evaluation"
                )
        self.shapes: dict[str, list[int]] = record["arrays"]
        self.hashes: dict[str, str] = record["sha256"]
        self.sound: set[str] = set()

    def array(self, name: str) -> np.ndarray:
        """Return one array, memory-mapped; at its first use its contents must be those that were
        written.
        """
        path = self.folder / f"{name}.npy"
        try:
            if name not in self.sound and files.sha256(path) != self.hashes.get(name):
                raise UserError(
                    f"feature file {path} is corrupt: delete {self.folder} and run `kbench"
                    " features` again"
                )
            self.sound.add(name)
            return np.load(path, mmap_mode="c")
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"feature file {path} is missing or corrupt: {error}") from error

    def draws(self, name: str) -> int:
        """Return how many random-feature draws a representation has; 1 where no random features are
        used.
        """
        return next(
            shape[1] for array, shape in self.shapes.items() if array.startswith(f"{name}/")
        )

    def representation(self, name: str, draw: int) -> dict[str, torch.Tensor]:
        """Return what the similarity compares, of one random-feature draw: every array NAME/KEY,
        draw by draw.
        """
        keys = [
            array.removeprefix(f"{name}/") for array in self.shapes if array.startswith(f"{name}/")
        ]
        return {key: torch.from_numpy(self.array(f"{name}/{key}")[:, draw]) for key in keys}


def begun_with(folder: Path, wanted: dict[str, Any]) -> bool:
    """Return whether finished features in the folder have a key that holds all of this one."""
    record = files.read_json(folder / RECORD) if (folder / RECORD).exists() else None
    key = record.get("key") if isinstance(record, dict) else None
    return isinstance(key, dict) and wanted.items() <= key.items()


def present(folder: Path, key: dict[str, Any]) -> bool:
    """Return whether finished features with exactly this key are in the folder; their contents are
    not looked at.
    """
    if not (folder / RECORD).exists():
        return False
    record = files.read_json(folder / RECORD)
    return isinstance(record, dict) and record.get("key") == key
