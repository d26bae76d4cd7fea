"""The parts of the rank experiment differ in the embedding dimension, and in nothing else."""

import re
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "workflow" / "experiments"
FIRST = (EXPERIMENTS / "rank-d2.yaml").read_text(encoding="utf-8")
OTHERS = sorted(EXPERIMENTS.glob("rank-d*.yaml"), key=lambda path: int(path.stem[6:]))
OTHERS = [path for path in OTHERS if path.stem != "rank-d2"]


def test_every_dimension_has_its_part():
    assert [path.stem for path in OTHERS] == [
        "rank-d1",
        "rank-d3",
        "rank-d4",
        "rank-d8",
        "rank-d32",
    ]


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_a_part_is_the_primary_one_at_another_dimension(path):
    dimension = path.stem.removeprefix("rank-d")
    comment, settings = FIRST.split("name: ")
    [primary] = re.findall(r"^primary: .*\n", settings, re.M)
    expected = "name: " + settings.replace(primary, "")
    expected = re.sub(r"-d2\b", f"-d{dimension}", expected)
    expected = expected.replace("embed_dim: 2}", f"embed_dim: {dimension}}}")
    expected = expected.replace("at embedding dimension 2:", f"at embedding dimension {dimension}:")
    assert path.read_text(encoding="utf-8") == comment + expected
