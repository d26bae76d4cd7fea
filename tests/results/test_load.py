"""A table of many rows: time, memory and length of the page.

KBENCH_TRUST=1 makes 102,700 rows of 1,300 runs, as docs/trust.md states its figures for; without
it, 7,900 rows of 100 runs, and the bounds that do not depend on the machine.
"""

import os
import re
import subprocess
import sys
import time

import pytest
from synthetic import write_experiment

VARIANTS, SEEDS = (26, 50) if "KBENCH_TRUST" in os.environ else (10, 10)
SETS = (
    *("caltech101", "cars", "cifar10", "cifar100", "dtd", "eurosat", "fgvc_aircraft", "flowers"),
    *("food101", "imagenet1k", "imagenet1k-80-prompts", "pets", "stl10", "sun397"),
    *(
        "world-shape",
        "world-colour",
        "world-size",
        "world-digits",
        "world-retrieval",
        "world-pairs",
    ),
)
ROWS_OF_A_RUN = 17 * 4 + 2 + 6 + 3  # one of the sets is not fitted
PROGRAM = """
import sys
from kbench import cli, memory
try:
    cli.main(sys.argv[1:])
finally:
    print("peak", memory.peak_bytes(), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("load") / "many"
    abilities = {f"variant-{i}": i / VARIANTS for i in range(VARIANTS)}
    return write_experiment(path, abilities, seeds=tuple(range(SEEDS)), datasets=SETS)


def measured(*words):
    """Run a command in a process of its own; return its seconds and its peak memory in MB."""
    command = [sys.executable, "-c", PROGRAM, *map(str, words)]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return time.monotonic() - started, int(re.search(r"^peak (\d+)$", done.stderr, re.M)[1]) / 1e6


@pytest.mark.whole
def test_many_rows_are_compared_and_shown(folder):
    seconds, memory = measured("compare", folder)
    print(f"compare: {seconds:.1f} s, {memory:.0f} MB")
    with (folder / "table.csv").open() as stream:
        assert sum(1 for _ in stream) == 1 + VARIANTS * SEEDS * ROWS_OF_A_RUN
    assert memory < 600
    seconds, memory = measured("report", folder)
    page = (folder / "report" / "index.html").stat().st_size
    print(f"report: {seconds:.1f} s, {memory:.0f} MB, page {page / 1e6:.2f} MB")
    assert page < 1.7e6 + 32 * VARIANTS * SEEDS * ROWS_OF_A_RUN  # 5 MB in full
