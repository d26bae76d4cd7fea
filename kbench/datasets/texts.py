"""Class names and prompt templates: from the dataset's folder, or from lists that are published.

Labels are only right together with the label map, which travels with the images: where the folder
has a list too, it must name the same classes. How they are spelled is then the published list's
matter: exporters write 'aquarium_fish' where the prompts were published with 'aquarium fish', which
are other tokens.
"""

import functools
import importlib.util
import json
from pathlib import Path

from kbench.datasets.dataset import Dataset
from kbench.errors import UserError, unknown

RELEASE = "arxiv-2404.19228"
"""Lists of the code released with that paper, in published/ beside this module."""
PUBLISHED = (RELEASE, "clip_benchmark", "open_clip")
CLASS_NAMES = "classnames.txt"


def class_names(dataset: Dataset, root: Path) -> list[str]:
    """Return the class names in label order; UserError if they are not the dataset's, in number or
    order.
    """
    listed = root / CLASS_NAMES
    names = _resolve(dataset.class_names, root, "class_names")
    if len(names) != dataset.n_classes:
        raise UserError(f"{_where(dataset.class_names, root)} names {len(names)} classes; "
                        f"'{dataset.name}' has {dataset.n_classes}")  # fmt: skip
    if listed.is_file():
        names = _spelled_as(names, listed, dataset)
    elif dataset.class_order == "folder":
        raise UserError(
            f"{listed} is absent: copies of '{dataset.name}' order their classes differently"
        )
    if dataset.class_order == "alphabetical" and names != sorted(names, key=_words):
        ordered = sorted(names, key=_words)
        raise UserError(
            f"{_where(dataset.class_names, root)} is not in alphabetical order, as the labels of"
            f" '{dataset.name}' are: {first_difference(names, ordered)}"
        )
    return names


def other_spelling(dataset: Dataset, root: Path) -> str | None:
    """Return in words where the folder's list spells classes otherwise than prompts do, or None;
    UserError as above.
    """
    names, listed = class_names(dataset, root), root / CLASS_NAMES
    if not listed.is_file() or (there := lines(listed)) == names:
        return None
    return (
        f"{CLASS_NAMES} spells otherwise: {first_difference(there, names)}; the published names are"
        " used"
    )


def _spelled_as(names: list[str], listed: Path, dataset: Dataset) -> list[str]:
    """Return the published names in the order of the labels; UserError unless the folder lists the
    same classes.
    """
    there = lines(listed)
    if [_words(name) for name in there] == [_words(name) for name in names]:
        return names
    by_words = {tuple(_words(name)): name for name in names}
    spellings = [by_words.get(tuple(_words(name))) for name in there]
    if dataset.class_order != "folder" or sorted(map(str, spellings)) != sorted(names):
        raise UserError(
            f"{listed} differs from {dataset.class_names}: {first_difference(there, names)}"
        )
    return spellings


def templates(dataset: Dataset, root: Path) -> list[str]:
    """Return the prompt templates, with {c} for the class; UserError if one lacks it."""
    prompts = _resolve(dataset.prompts, root, "prompts")
    for template in prompts:
        if "{c}" not in template:
            raise UserError(
                f"{_where(dataset.prompts, root)}: the template '{template}' has no {{c}} for the"
                " class name"
            )
    return prompts


def lines(path: Path) -> list[str]:
    """Return the lines of a text file that are not blank, stripped; UserError if there are none."""
    try:
        stripped = [
            line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
        ]
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if not stripped:
        raise UserError(f"{path} is empty")
    return stripped


def first_difference(seen: list[str], expected: list[str]) -> str:
    """Return in words where two different lists differ first, and in how many places."""
    if len(seen) != len(expected):
        return f"{len(seen)} names, not {len(expected)}"
    places = [
        index for index, pair in enumerate(zip(seen, expected, strict=True)) if pair[0] != pair[1]
    ]
    first = places[0]
    return f"{len(places)} places, first class {first} is '{seen[first]}', not '{expected[first]}'"


def _words(name: str) -> list[str]:
    """Return what names are ordered by: words in lower case, so that '_', '/' and spaces are
    alike.
    """
    return "".join(letter if letter.isalnum() else " " for letter in name.casefold()).split()


def _where(reference: str, root: Path) -> str:
    return reference if reference.partition(":")[0] in PUBLISHED else str(root / reference)


def _resolve(reference: str, root: Path, what: str) -> list[str]:
    source, _, key = reference.partition(":")
    if source == "open_clip":
        return _open_clip(key)
    if source not in PUBLISHED:
        return lines(root / reference)
    published = _release(what) if source == RELEASE else _clip_benchmark(what)
    if key not in published:
        raise unknown(f"{what} of {source}", key, published)
    return published[key]


@functools.cache
def _release(what: str) -> dict[str, list[str]]:
    text = (Path(__file__).parent / "published" / f"{RELEASE}.json").read_text(encoding="utf-8")
    return {name: lists[what] for name, lists in json.loads(text)["datasets"].items()}


@functools.cache
def _clip_benchmark(what: str) -> dict[str, list[str]]:
    """Return the package's English lists, read from its file: importing the package imports
    torch.
    """
    package = importlib.util.find_spec("clip_benchmark")
    file = {"class_names": "en_classnames", "prompts": "en_zeroshot_classification_templates"}[what]
    return json.loads(
        (Path(package.origin).parent / f"datasets/{file}.json").read_text(encoding="utf-8")
    )


def _open_clip(constant: str) -> list[str]:
    import kbench.towers.compat  # isort: skip  # noqa: F401
    from open_clip import zero_shot_metadata

    prompts = getattr(zero_shot_metadata, constant, None)
    if prompts is None:
        raise unknown(
            "constant of open_clip", constant, [n for n in vars(zero_shot_metadata) if n.isupper()]
        )
    return [template("{c}") for template in prompts]
