"""Peak memory of retrieval, measured in a process of its own on random features.

By hand, at the size of MS-COCO (5,000 images, 25,000 captions), with the widths of the paper's and the demo's towers:
  python tests/evaluate/retrieval_memory.py wpse-gaussian 5000 1536
  python tests/evaluate/retrieval_memory.py filip 5000 64 17 12
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

CAPTIONS = 5


def write(
    folder: Path, explicit: bool, images: int, width: int, tokens: tuple[int, int] = (1, 1)
) -> int:
    """Write features of so many images with five captions each; returns their bytes.

    explicit: features of `width` dimensions, otherwise sets of `tokens` points (of an image, of a
    caption).
    """
    from kbench.evaluate.store import MEANING, Writer

    writer, generator = Writer(folder), np.random.default_rng(0)
    for side, size, points in (
        ("images", images, tokens[0]),
        ("captions", CAPTIONS * images, tokens[1]),
    ):
        shapes = (
            {"features": (width,)}
            if explicit
            else {"points": (points, width), "weights": (points,)}
        )
        for name, shape in shapes.items():
            for start in range(0, size, 100):
                rows = generator.standard_normal(
                    (min(100, size - start), 1, *shape), dtype=np.float32
                )
                writer.rows(f"test/{side}/{name}", start, size, rows)
    writer.whole("test/caption_images", np.repeat(np.arange(images), CAPTIONS))
    writer.finish(MEANING)
    return sum(path.stat().st_size for path in folder.rglob("*.npy"))


def measure(folder: Path, variant: str, block_bytes: int | None = None) -> None:
    """Rank, and print what the process held at most before and during it, and the seconds it
    took.
    """
    from kbench import similarity
    from kbench.evaluate.store import Reader
    from kbench.memory import peak_bytes
    from kbench.tasks import retrieval

    retrieval.BLOCK_BYTES = block_bytes or retrieval.BLOCK_BYTES
    run, features = SimpleNamespace(similarity=similarity.create(variant)), Reader(folder)
    before, start = peak_bytes(), time.perf_counter()
    retrieval.retrieval_ranks(run, features, 0)
    print(
        json.dumps({"before": before, "peak": peak_bytes(), "seconds": time.perf_counter() - start})
    )


def measured(folder: Path, variant: str, block_bytes: int | None = None) -> dict[str, float]:
    """Call `measure` in a new process."""
    search = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    call = f"measure(Path({str(folder)!r}), {variant!r}, {block_bytes})"
    code = (
        f"import sys; sys.path[:0] = {search}; from retrieval_memory import Path, measure; {call}"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from kbench import similarity

    name, images, width, *tokens = (
        sys.argv[1],
        *map(int, sys.argv[2:] + ["1", "1"] * (len(sys.argv) < 5)),
    )
    with tempfile.TemporaryDirectory() as scratch:
        stored = write(
            Path(scratch) / "features",
            similarity.get(name).has_features(),
            images,
            width,
            tuple(tokens),
        )
        print(json.dumps({"stored": stored, **measured(Path(scratch) / "features", name)}))
