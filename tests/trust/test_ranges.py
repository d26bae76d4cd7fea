"""No number of an experiment file is accepted that cannot be meant, and the message gives the range."""

from typing import get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from kbench import similarity
from kbench.corpus.augmentation import Crop
from kbench.corpus.base import Corpus
from kbench.experiment.schema import Experiment, Training
from kbench.measures.settings import LinearProbeSettings
from kbench.records.section import explain

ABSURD = {int: (-(2**70), 2**70), float: (-1e300, 1e300)}


def models(kind, seen):
    """Add every section that an annotation leads to."""
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in seen:
        seen.add(kind)
        for field in kind.model_fields.values():
            models(field.annotation, seen)
    for part in get_args(kind):
        models(part, seen)
    return seen


def numbers(kind):
    """Return int or float if a value is one, or may be one."""
    several = get_origin(kind) is tuple
    return set() if several else {part for part in (kind, *get_args(kind)) if part in (int, float)}


SECTIONS = {
    *models(Experiment, set()),
    *(kind for corpus in Corpus.__subclasses__() for kind in models(corpus, set())),
    *(similarity.get(name).Settings for name in similarity.names()),
}
FIELDS = [
    (section, name)
    for section in sorted(SECTIONS, key=lambda section: section.__qualname__)
    for name, field in section.model_fields.items()
    if numbers(field.annotation)
]


@pytest.mark.parametrize(
    ("section", "name"), FIELDS, ids=lambda part: getattr(part, "__qualname__", part)
)
def test_no_number_is_without_bounds(section, name):
    for kind in numbers(section.model_fields[name].annotation):
        for absurd in ABSURD[kind]:
            with pytest.raises(ValidationError) as refused:
                section.model_validate({name: absurd})
            errors = [e for e in refused.value.errors() if e["loc"][:1] == (name,)]
            assert errors, f"{section.__qualname__}.{name} accepts {absurd}"
            assert any(word in str(errors) for word in ("than", "between", "must"))


def test_the_sections_are_all_there():
    names = {section.__name__ for section in SECTIONS}
    assert {
        "Training",
        "Evaluation",
        "LinearProbeSettings",
        "Tuning",
        "WorldCorpus",
        "Crop",
    } <= names
    assert len(FIELDS) > 55


@pytest.mark.parametrize(
    ("section", "values"),
    [
        (Crop, {"scale": [5, -1]}),
        (Crop, {"scale": [0.1, 2**70]}),
        (Training, {"betas": [1.5, -3]}),
        (LinearProbeSettings, {"strides": [0]}),
        (LinearProbeSettings, {"strides": [-1]}),
        (Experiment, {"seeds": [2**70]}),
        (Experiment, {"seeds": list(range(100_000))}),
    ],
)
def test_no_list_of_numbers_is_without_bounds(section, values):
    with pytest.raises(ValidationError) as refused:
        section.model_validate(values)
    assert next(iter(values)) in str(refused.value)


@pytest.mark.parametrize("value", [2**70, -1])
def test_the_message_says_what_was_seen_and_what_is_legal(value):
    with pytest.raises(ValidationError) as refused:
        Experiment.model_validate({"seeds": [value]})
    error = ValidationError.from_exception_data(
        "Experiment", [e for e in refused.value.errors() if e["loc"][0] == "seeds"]
    )
    assert f"seen: {value}" in explain(error, Experiment) and "seeds.0" in explain(
        error, Experiment
    )
