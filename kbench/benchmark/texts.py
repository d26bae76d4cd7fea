"""Class names and prompt templates: from the dataset's folder, or from the packages that publish them.

Names of classes are only right together with the label map, which travels with the images. So where both a package
and the folder have a list, they must agree.
"""

import functools
import importlib.util
import json
from pathlib import Path

from kbench.benchmark.dataset import Dataset
from kbench.errors import UserError, unknown

PACKAGES = ("clip_benchmark", "open_clip")
CLASS_NAMES = "classnames.txt"


def class_names(dataset: Dataset, root: Path) -> list[str]:
    """Return the class names in label order; UserError if they are not the dataset's, in number or order."""
    names, listed = _resolve(dataset.class_names, root, "classnames"), root / CLASS_NAMES
    if len(names) != dataset.n_classes:
        raise UserError(f"{_where(dataset.class_names, root)} names {len(names)} classes; "
                        f"'{dataset.name}' has {dataset.n_classes}")  # fmt: skip
    if listed.is_file() and (there := lines(listed)) != names:
        raise UserError(f"{listed} differs from {dataset.class_names}: {first_difference(there, names)}")
    if dataset.class_order == "alphabetical" and names != sorted(names, key=_words):
        ordered = sorted(names, key=_words)
        raise UserError(
            f"{_where(dataset.class_names, root)} is not in alphabetical order, as the labels of '{dataset.name}' are: "
            f"{first_difference(names, ordered)}"
        )
    return names


def templates(dataset: Dataset, root: Path) -> list[str]:
    """Return the prompt templates, with {c} for the class; UserError if one lacks it."""
    found = _resolve(dataset.prompts, root, "zeroshot_classification_templates")
    for template in found:
        if "{c}" not in template:
            raise UserError(
                f"{_where(dataset.prompts, root)}: the template '{template}' has no {{c}} for the class name"
            )
    return found


def lines(path: Path) -> list[str]:
    """Return the lines of a text file that are not blank, stripped; UserError if there are none."""
    try:
        found = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if not found:
        raise UserError(f"{path} is empty")
    return found


def first_difference(seen: list[str], expected: list[str]) -> str:
    """Return in words where two different lists differ first, and in how many places."""
    if len(seen) != len(expected):
        return f"{len(seen)} names, not {len(expected)}"
    places = [index for index, pair in enumerate(zip(seen, expected, strict=True)) if pair[0] != pair[1]]
    first = places[0]
    return f"{len(places)} places, first class {first} is '{seen[first]}', not '{expected[first]}'"


def _words(name: str) -> list[str]:
    """Return what names are ordered by: words in lower case, so that '_', '/' and spaces are alike."""
    return "".join(letter if letter.isalnum() else " " for letter in name.casefold()).split()


def _where(reference: str, root: Path) -> str:
    return reference if reference.partition(":")[0] in PACKAGES else str(root / reference)


def _resolve(reference: str, root: Path, what: str) -> list[str]:
    package, _, key = reference.partition(":")
    if package == "clip_benchmark":
        published = _clip_benchmark(what)
        if key not in published:
            raise unknown(f"{what} of clip_benchmark", key, published)
        return published[key]
    if package == "open_clip":
        return _open_clip(key)
    return lines(root / reference)


@functools.cache
def _clip_benchmark(what: str) -> dict[str, list[str]]:
    """Return the package's English lists, read from its file: importing the package imports torch."""
    package = importlib.util.find_spec("clip_benchmark")
    return json.loads((Path(package.origin).parent / f"datasets/en_{what}.json").read_text(encoding="utf-8"))


def _open_clip(constant: str) -> list[str]:
    import kbench.towers.compat  # isort: skip  # noqa: F401
    from open_clip import zero_shot_metadata

    found = getattr(zero_shot_metadata, constant, None)
    if found is None:
        raise unknown("constant of open_clip", constant, [n for n in vars(zero_shot_metadata) if n.isupper()])
    return [template("{c}") for template in found]
