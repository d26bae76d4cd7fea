"""Peak memory of the linear probe's fits on random features that do not fit in memory, in double
precision.

By hand, at the size of ImageNet with a ViT-L's features: the search's first seven models on some of the samples, and
one model on all of them, which takes 5 GB of disk and a quarter of an hour on two cores:
  python tests/evaluate/probe_memory.py 50000 1024 1000 7
  python tests/evaluate/probe_memory.py 1281167 1024 1000 1
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROWS = 10_000
ITERATIONS = 2
"""After the first, everything that the solver remembers has its place."""


def write(path: Path, samples: int, width: int) -> np.ndarray:
    """Write features (samples, width) and return them memory-mapped."""
    x, generator = (
        np.lib.format.open_memmap(path, "w+", np.float32, (samples, width)),
        np.random.default_rng(0),
    )
    for start in range(0, samples, ROWS):
        x[start : start + ROWS] = generator.standard_normal(
            (min(ROWS, samples - start), width), dtype=np.float32
        )
    x.flush()
    return np.load(path, mmap_mode="r")


def measure(x: np.ndarray, classes: int, models: int) -> dict[str, float]:
    """Fit so many models together and predict; returns the most bytes held, mapped file included,
    and the seconds.
    """
    from kbench.measures import passes, regression
    from kbench.measures.labelled_features import Features
    from kbench.measures.logistic import GRID
    from kbench.memory import peak_bytes

    passes.RESIDENT_BYTES, regression.PRECISIONS = 0, regression.PRECISIONS[-1:]
    start = time.perf_counter()
    data = Features(x, np.arange(len(x)) % classes)
    fits = regression.Regression([data], max_iterations=ITERATIONS).fit(
        GRID[:: len(GRID) // models][:models]
    )
    for fit in fits:
        fit.predict_with_lead(data)
    return {"models": len(fits), "peak": peak_bytes(), "seconds": time.perf_counter() - start}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    samples, width, classes, models = map(int, sys.argv[1:])
    with tempfile.TemporaryDirectory() as scratch:
        x = write(Path(scratch) / "x.npy", samples, width)
        print(json.dumps({"mapped": x.nbytes, **measure(x, classes, models)}))
