"""YAML that cannot be meant is one message, at once; what people write is read as PyYAML reads
it.
"""

import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tiny import EXPERIMENT, ROOT

from kbench import yaml_file
from kbench.errors import UserError

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
REFUSED = {
    "equal keys": ("seeds: [0]\nname: x\nseeds: [1]\n", "line 3: the key 'seeds' stands twice"),
    "equal keys below": (
        "training:\n  epochs: 1\n  epochs: 2\n",
        "line 3: the key 'epochs' stands twice",
    ),
    "an alias bomb": (BOMB, "over 100,000 values"),
    "a loop": ("a: &a [*a]\n", "line 1 refers to itself"),
    "deep nesting": ("[" * 5000 + "]" * 5000, "nested too deeply"),
    "a bad date": ("name: 2026-13-45\n", "month must be in 1..12"),
    "no number": ("epochs: !!int x\n", "invalid literal"),
    "too many digits": (f"epochs: {'9' * 6000}\n", "digits"),
    "infinity": ("epochs: .inf\n", "inf is no number"),
    "not a number": ("training: {epochs: .nan}\n", "nan is no number"),
    "code": ("name: !!python/object/apply:os.system ['true']\n", "is not YAML"),
    "binary": ("\x00", "is not YAML"),
    "a large file": ("#" * 1_000_001, "has over 1,000,000 bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_meant_is_one_message(name, tmp_path):
    text, words = REFUSED[name]
    (tmp_path / "x.yaml").write_text(text)
    started = time.monotonic()
    with pytest.raises(UserError) as refusal:
        yaml_file.read(tmp_path / "x.yaml")
    assert words in str(refusal.value) and str(tmp_path / "x.yaml") in str(refusal.value)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 600
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("name", ["equal keys", "an alias bomb", "deep nesting", "infinity"])
def test_a_command_says_it_too(name, tmp_path, kbench, refused):
    (tmp_path / "x.yaml").write_text(REFUSED[name][0])
    refused(kbench("check", tmp_path / "x.yaml"), REFUSED[name][1])


def test_a_merge_and_an_alias_are_used(tmp_path):
    (tmp_path / "x.yaml").write_text("base: &base {a: 1, b: 2}\nmore: {<<: *base, b: 3}\n")
    assert yaml_file.read(tmp_path / "x.yaml")["more"] == {"a": 1, "b": 3}


def test_an_empty_file_holds_nothing(tmp_path):
    (tmp_path / "x.yaml").write_text("# nothing\n")
    assert yaml_file.read(tmp_path / "x.yaml") is None


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(PLAIN)
def test_plain_values_are_read_as_they_were_written(value):
    text = yaml.safe_dump(value, allow_unicode=True)
    assert yaml_file._value(text) == yaml.safe_load(text)


@pytest.mark.parametrize("path", sorted(ROOT.glob("**/*.yaml")), ids=lambda path: path.stem)
def test_every_file_of_the_project_is_read(path):
    if (
        ".venv" not in path.parts
        and ".snakemake" not in path.parts
        and "profiles" not in path.parts
    ):
        assert yaml_file.read(path) == yaml.safe_load(path.read_text())


def test_an_experiment_is_read(tmp_path):
    (tmp_path / "x.yaml").write_text(EXPERIMENT)
    assert yaml_file.read(tmp_path / "x.yaml") == yaml.safe_load(EXPERIMENT)
