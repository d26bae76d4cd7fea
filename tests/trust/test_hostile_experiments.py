"""`kbench check` of files that nobody in his right mind would write: one message, soon, every time.

KBENCH_TRUST=1 tries a thousand; without it two hundred of them are tried.
"""

import os
import time

import hostile_experiments
import pytest
import yaml
from tiny import ROOT

from kbench.cli import main

RIGHT = [
    yaml.safe_load((ROOT / "workflow" / "experiments" / f"{name}.yaml").read_text())
    for name in ("demo", "cifar10", "cc12m", "rank")
]
TRIED = range(1000 if "KBENCH_TRUST" in os.environ else 200)
SECONDS = 10


@pytest.mark.parametrize("seed", TRIED)
def test_it_is_planned_or_refused_in_one_message(seed, tmp_path, monkeypatch, capsys):
    path = tmp_path / "hostile.yaml"
    path.write_text(hostile_experiments.make(RIGHT[seed % len(RIGHT)], seed))
    monkeypatch.chdir(ROOT)
    started = time.monotonic()
    with pytest.raises(SystemExit) as end:
        main(["check", str(path)])
    assert time.monotonic() - started < SECONDS
    said = capsys.readouterr().err
    assert end.value.code in (0, 2), said
    if end.value.code == 2:
        assert said.startswith("kbench: ") and len(said) < 3000, said[:200]


def test_most_of_them_are_refused(tmp_path):
    """The generator changes what matters: were all accepted, the test above would show nothing."""
    changed = [yaml.safe_load(hostile_experiments.make(RIGHT[0], seed)) for seed in range(50)]
    assert sum(document != RIGHT[0] for document in changed) > 40
