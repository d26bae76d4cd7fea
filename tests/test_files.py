"""Nothing half-written is ever taken for finished."""

import os

import pytest

from kbench import files
from kbench.errors import UserError
from kbench.seeds import derive


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "result.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ValueError):
        files.write_json(path, {"a": float("nan")})
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert files.read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["result.json"]


def test_a_file_in_the_way_of_a_folder_is_one_message(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        files.write_json(tmp_path / "results" / "x.json", {})


def test_a_full_disk_is_one_message(tmp_path):
    with (
        pytest.raises(UserError, match="No space left"),
        files.replacing(tmp_path / "x"),
        open("/dev/full", "w") as full,
    ):
        full.write("x" * 100000)


def test_hash_ignores_order_of_keys():
    assert files.canonical_hash({"a": 1, "b": 2}) == files.canonical_hash({"b": 2, "a": 1})
    assert files.canonical_hash({"a": 1}) != files.canonical_hash({"a": 2})


def test_seeds_depend_on_every_axis_and_its_type():
    seeds = {derive(), derive("a"), derive("a", 1), derive("a", "1"), derive("a1"), derive(1, "a")}
    assert len(seeds) == 6
    assert all(0 <= seed < 2**63 for seed in seeds)
