"""Files of a run, arrays, weights, checkpoints, shards and pages that were damaged or made to do harm.

Every command ends: done, or with one message. KBENCH_TRUST=1 tries two hundred of each kind.
"""

import io
import os
import random
import shutil
import time
from pathlib import Path

import mangled
import numpy as np
import pytest

from kbench.cli import main
from kbench.pretrain.checkpoint import Checkpoints

TRIED = range(200 if "KBENCH_TRUST" in os.environ else 8)
SECONDS = 10


class Copy:
    """A copy of finished runs, and the commands that read it."""

    def __init__(self, folder: Path, results: Path, world: Path) -> None:
        shutil.copytree(results, folder / "tiny")
        shutil.copytree(world, folder / "world")
        self.results, self.world = folder / "tiny", folder / "world"
        self.run = next((self.results / "runs").glob("wpse-gaussian-*"))
        self.evaluation = ("--evaluation", self.results / "evaluation.json")
        self.checkpoint(folder)
        rng = np.random.default_rng(0)
        sets = {
            "image_points": rng.normal(size=(3, 4, 5)),
            "image_weights": rng.normal(size=(3, 4)),
            "text_points": rng.normal(size=(2, 3, 5)),
            "text_weights": rng.normal(size=(2, 3)),
        }
        np.savez(folder / "sets.npz", **sets)
        features = {f"{split}_x": rng.normal(size=(60, 6)) for split in ("train", "test")}
        labels = {f"{split}_y": rng.integers(0, 3, 60) for split in ("train", "test")}
        np.savez(folder / "features.npz", **features, **labels)
        self.folder = folder

    def checkpoint(self, folder: Path) -> None:
        """Put a checkpoint into a run that is not finished."""
        self.unfinished = folder / "unfinished" / self.run.name
        self.unfinished.mkdir(parents=True)
        shutil.copy(self.run / "config.json", self.unfinished)
        Checkpoints(self.unfinished, {"seed": 0}).save(3, {"step": 3})

    def cases(self) -> dict[str, tuple[list[Path], list[tuple]]]:
        """Return what is damaged and which command reads it, by kind."""
        at = ("--world", self.world)
        documents = [
            path
            for path in self.results.rglob("*.json*")
            if "features" not in path.parts and path.parent.name != "checkpoints"
        ]
        features = sorted(self.run.glob("features/*/**/*.npy"))
        shards = sorted((self.world / "benchmark").rglob("*.tar"))
        return {
            "documents": (documents, [("compare", self.results), ("report", self.results)]),
            "arrays of results": (
                sorted(self.run.glob("evaluation/*/*.npz")),
                [("report", self.results)],
            ),
            "features": (features, [("evaluate", "--run", self.run, *self.evaluation)]),
            "weights": (
                [self.run / "model.safetensors"],
                [("features", "--run", self.run, *self.evaluation, *at)],
            ),
            "checkpoints": (
                sorted(self.unfinished.glob("checkpoints/*")),
                [
                    (
                        "pretrain",
                        "--run",
                        self.unfinished,
                        "--manifest",
                        self.results / "corpus.json",
                    )
                ],
            ),
            "shards": (shards, [("dataset", "verify", *at)]),
            "point sets": (
                [self.folder / "sets.npz"],
                [("score", "--variant", "wpse-gaussian", "--input", self.folder / "sets.npz")],
            ),
            "probe features": (
                [self.folder / "features.npz"],
                [("linear-probe", "--features", self.folder / "features.npz")],
            ),
        }


KINDS = (
    "documents",
    "arrays of results",
    "features",
    "weights",
    "checkpoints",
    "shards",
    "point sets",
    "probe features",
)


@pytest.fixture(scope="module")
def copy(trained, tiny_experiment, tiny_world, tmp_path_factory):
    return Copy(tmp_path_factory.mktemp("hostile"), tiny_experiment[1], tiny_world)


@pytest.mark.whole
@pytest.mark.parametrize("kind", KINDS)
def test_a_command_ends_with_one_message(kind, copy, tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("KBENCH_DATA", raising=False)
    files, commands = copy.cases()[kind]
    assert files
    for seed in TRIED:
        draw = random.Random(f"{kind} {seed}")
        path, command = draw.choice(files), draw.choice(commands)
        good = path.read_bytes()
        change = mangled.document if path.suffix in (".json", ".jsonl") else mangled.raw
        path.write_bytes(change(good, draw))
        try:
            status, said, seconds = call(command, tmp_path, capfd)
        finally:
            path.write_bytes(good)
        where = f"{kind}, seed {seed}, {path.name}: {said[-2000:]}"
        assert status in (0, 2), where
        assert status == 0 or said.count("kbench: ") == 1, where
        assert seconds < SECONDS, where


def call(command, folder, capfd):
    """Run a command in this process; return its exit status, what it said, and how long it took."""
    words = [str(word) for word in command]
    if words[0] in ("score", "linear-probe"):
        words += ["--output", str(folder / "output")]
    started = time.monotonic()
    with pytest.raises(SystemExit) as end:
        main(words)
    return end.value.code, capfd.readouterr().err, time.monotonic() - started


def test_damage_is_seen_where_a_hash_is_known(copy, tmp_path, capfd):
    """Weights and features have hashes: whatever bit is flipped, no number comes of them."""
    shutil.rmtree(copy.run / "evaluation")
    for kind in ("weights", "features"):
        files, commands = copy.cases()[kind]
        path = max(files, key=lambda file: file.stat().st_size)
        good = path.read_bytes()
        flipped = io.BytesIO(good)
        flipped.seek(len(good) - 5)
        flipped.write(bytes([good[-5] ^ 4]))
        path.write_bytes(flipped.getvalue())
        if kind == "weights":
            shutil.move(copy.run / "features", tmp_path / "features")
        status, said, _ = call(commands[0], tmp_path, capfd)
        path.write_bytes(good)
        if kind == "weights":
            shutil.rmtree(copy.run / "features", ignore_errors=True)
            shutil.move(tmp_path / "features", copy.run / "features")
        assert status == 2 and path.name in said, said
